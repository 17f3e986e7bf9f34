// Package postgrestest runs a real PostgreSQL for tests: one server for a test
// binary, and a database for each test.
package postgrestest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// A Server is a PostgreSQL in a temporary directory, which is reached by a socket
// there. It keeps what it is given as a real one does, with fsync.
type Server struct {
	dir      string    // with the socket
	programs string    // initdb, pg_ctl, createdb, psql
	alive    io.Closer // open for as long as we are
	made     atomic.Int64
}

var started = sync.OnceValues(start)

// Start gives the server of this test binary. It ends, and its directory goes away,
// when the process ends, however it does. Where PostgreSQL is not installed the test
// is skipped, or fails under OUTRIDER_TEST_NO_SKIP.
func Start(t testing.TB) *Server {
	t.Helper()
	server, err := started()
	switch {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv("OUTRIDER_TEST_NO_SKIP") == "":
		t.Skip("needs PostgreSQL: apt-get install postgresql")
	case err != nil:
		t.Fatalf("starting PostgreSQL (apt-get install postgresql): %v", err)
	}
	return server
}

// supervise runs the server until its input ends: that is when the process at the
// other end does, even if it is killed.
const supervise = `set -e
"$1/initdb" -D "$2/data" -U outrider --auth=trust --encoding=UTF8 --no-locale --no-sync >"$2/log" 2>&1
echo "local all locked scram-sha-256
local all all trust" >"$2/data/pg_hba.conf"
"$1/pg_ctl" -D "$2/data" -l "$2/log" -o "-k $2 -c listen_addresses=''" -w start >/dev/null 2>&1
echo ready
cat >/dev/null
"$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null 2>&1 || true
rm -rf "$2"`

func start() (*Server, error) {
	programs, err := installed()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "outrider-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, programs: programs}
	if err := s.give(); err != nil {
		return nil, err
	}
	command := s.command("sh", "-c", supervise, "sh", programs, dir)
	if s.alive, err = command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	if !bufio.NewScanner(output).Scan() {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return nil, fmt.Errorf("it did not start: %s", log)
	}
	return s, nil
}

// installed is the directory of the server's programs, which Debian has off the path.
func installed() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		path, err = filepath.EvalSymlinks(path) // to where the others are
		return filepath.Dir(path), err
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", exec.ErrNotFound
	}
	return filepath.Dir(slices.Max(found)), nil
}

// owner is who runs the server where we are root, as which it does not run.
const owner = "postgres"

func (s *Server) give() error {
	if os.Getuid() != 0 {
		return nil
	}
	account, err := user.Lookup(owner)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return err
	}
	return os.Chown(s.dir, uid, -1)
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	words := append([]string{name}, args...)
	if os.Getuid() == 0 {
		words = append([]string{"runuser", "-u", owner, "--"}, words...)
	}
	command := exec.Command(words[0], words[1:]...)
	command.Dir = s.dir
	return command
}

// run runs one of the server's programs to its end.
func (s *Server) run(t testing.TB, name string, args ...string) {
	t.Helper()
	s.finish(t, s.command(filepath.Join(s.programs, name), args...))
}

// finish runs a command to its end.
func (s *Server) finish(t testing.TB, command *exec.Cmd) {
	t.Helper()
	output, err := os.CreateTemp(t.TempDir(), "output") // a pipe would be held open by a server that is started
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	command.Stdout, command.Stderr = output, output
	if err := command.Run(); err != nil {
		text, _ := os.ReadFile(output.Name())
		t.Fatalf("%q: %v\n%s", command.Args, err, text)
	}
}

// URL is that of a database, for a user with or without a password, "user:password".
func (s *Server) URL(userinfo, database string) string {
	return "postgres://" + userinfo + "@/" + database + "?host=" + s.dir
}

// Database makes a database for a test, and gives its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "test_" + strconv.FormatInt(s.made.Add(1), 10)
	s.run(t, "createdb", "-h", s.dir, "-U", "outrider", name)
	return s.URL("outrider", name)
}

// Exec runs statements in the database at url, or in the server's own.
func (s *Server) Exec(t testing.TB, url, statements string) {
	t.Helper()
	if url == "" {
		url = s.URL("outrider", "postgres")
	}
	s.run(t, "psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-c", statements, url)
}

// Stop stops the server as a crash would; Continue starts it again, with what it has
// kept.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.run(t, "pg_ctl", "-D", filepath.Join(s.dir, "data"), "-m", "immediate", "-w", "stop")
}

// kill waits for the other processes of the server, too: they end when they notice that
// they are alone, and before it does not start again.
const kill = `pid=$(head -n 1 "$1/data/postmaster.pid")
others=$(pgrep -P "$pid")
kill -KILL "$pid"
for other in $others; do
	while kill -0 "$other" 2>/dev/null; do sleep 0.02; done
done`

// Kill kills the server, as the system does where memory is short. Continue starts it
// again.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.finish(t, s.command("sh", "-c", kill, "sh", s.dir))
}

// Continue starts a server that was stopped.
func (s *Server) Continue(t testing.TB) {
	t.Helper()
	s.run(t, "pg_ctl", "-D", filepath.Join(s.dir, "data"), "-l", filepath.Join(s.dir, "log"),
		"-o", fmt.Sprintf("-k %s -c listen_addresses=''", s.dir), "-w", "start")
}
