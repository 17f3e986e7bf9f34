package store_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/proxy/store"
	"outrider/proxy/store/postgrestest"
)

// shared is a store in a database of its own, with the server and its URL.
func shared(t *testing.T) (*postgrestest.Server, store.Settings) {
	t.Helper()
	server := postgrestest.Start(t)
	return server, store.Settings{Dir: t.TempDir(), URL: server.Database(t), Key: key(secret)}
}

// TestServerThatComesBackIsUsedAgain has it crash under an open store: what was
// acknowledged is there afterwards.
func TestServerThatComesBackIsUsedAgain(t *testing.T) {
	server, s := shared(t)
	opened := open(t, s)
	save(t, opened, "a/b", canary)
	server.Stop(t)
	_, err := opened.Slot("a/b").Load(t.Context())
	wantRefused(t, err, `"a/b"`, "postgres at ", "/test_", "cannot be reached")
	wantRefused(t, opened.Slot("a/b").Save(t.Context(), []byte("lost")), "cannot be reached")
	_, err = opened.Slot("a/b").Lock(t.Context())
	wantRefused(t, err, "cannot be reached")
	wantRefused(t, opened.SaveQuotas(t.Context(), nil), "saving quotas", "cannot be reached")
	if _, err := store.Open(t.Context(), s); !errors.Is(err, store.ErrAway) {
		t.Errorf("got %v, want ErrAway", err)
	}
	// Its socket is not there. That was taken for: nobody has made a store yet, and so nothing is kept.
	s.Existing = true
	if _, err := store.Open(t.Context(), s); !errors.Is(err, store.ErrAway) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want ErrAway alone", err)
	}
	s.Existing = false
	server.Continue(t)
	wantKept(t, opened, "a/b", canary)
	lock(t, opened.Slot("a/b"))()
	save(t, opened, "a/b", "second")
	saveQuotas(t, opened, daily("k", 1, time.Hour))
	wantKept(t, open(t, s), "a/b", "second")
}

// TestRefusalsOfTheServerSayWhatToDo asks for the advice, and that no error shows the
// password.
func TestRefusalsOfTheServerSayWhatToDo(t *testing.T) {
	server, s := shared(t)
	for _, role := range []string{`locked LOGIN PASSWORD 'right'`, `reader LOGIN`} {
		server.Exec(t, "", `CREATE ROLE `+role)
		name, _, _ := strings.Cut(role, " ")
		t.Cleanup(func() { server.Exec(t, "", `DROP ROLE `+name) })
	}
	server.Exec(t, s.URL, `CREATE SCHEMA fake;
		CREATE FUNCTION fake.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE SCHEMA aged;
		CREATE FUNCTION aged.current_setting(text) RETURNS text LANGUAGE sql AS $$SELECT CASE $1 WHEN 'server_version_num' THEN '120022' ELSE 'on' END$$`)
	database := s.URL[strings.Index(s.URL, "@/")+2 : strings.Index(s.URL, "?")]
	for name, c := range map[string]struct {
		url   string
		parts []string
	}{
		"password":   {server.URL("locked:canary-pass", database), []string{"refuses the user or the password", "28P01"}},
		"user":       {server.URL("nobody:canary-pass", database), []string{"lets this user not in"}},
		"database":   {server.URL("outrider:canary-pass", "nowhere"), []string{"there is no such database", "nowhere"}},
		"permission": {server.URL("reader:canary-pass", database), []string{"may not do this", "CREATE SCHEMA"}},
		"read-only":  {s.URL + "&default_transaction_read_only=on", []string{"takes no writes", "name the primary"}},
		"standby":    {s.URL + "&search_path=fake,pg_catalog", []string{"takes no writes", "it is a standby"}},
		"old":        {s.URL + "&search_path=aged,pg_catalog", []string{"PostgreSQL 12", "needs 13 or newer"}},
		"nobody":     {"postgres://outrider:canary-pass@127.0.0.1:1/x", []string{"postgres at 127.0.0.1:1/x", "cannot be reached"}},
		"malformed":  {"postgres://outrider:canary-pass@host:port/x", []string{"must be a URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			opened, err := store.Open(t.Context(), store.Settings{Dir: t.TempDir(), URL: c.url, Key: key(secret)})
			if err == nil {
				opened.Close()
			}
			wantRefused(t, err, c.parts...)
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q has several lines", err)
			}
		})
	}
}

// TestSessionsAreDurableWhateverTheDefaults: a role or a database may have others.
func TestSessionsAreDurableWhateverTheDefaults(t *testing.T) {
	server, s := shared(t)
	database := s.URL[strings.Index(s.URL, "@/")+2 : strings.Index(s.URL, "?")]
	server.Exec(t, s.URL, `ALTER DATABASE `+database+` SET synchronous_commit = off;
		ALTER DATABASE `+database+` SET default_transaction_isolation = serializable`)
	const want = `SELECT 1 / (CASE WHEN current_setting('synchronous_commit') = $1 AND current_setting('transaction_isolation') = 'read committed' THEN 1 ELSE 0 END)`
	if err := open(t, s).Exec(t.Context(), want, "on"); err != nil {
		t.Error(err)
	}
	s.URL += "&synchronous_commit=remote_apply" // who asks for more gets it
	if err := open(t, s).Exec(t.Context(), want, "remote_apply"); err != nil {
		t.Error(err)
	}
}

// TestTransactionOfADeadMachineIsGivenUp by the server: a new Outrider that waited behind
// it would have started two hours later.
func TestTransactionOfADeadMachineIsGivenUp(t *testing.T) {
	_, s := shared(t)
	const want = `SELECT 1 / (CASE WHEN current_setting('idle_in_transaction_session_timeout') = '30s' THEN 1 ELSE 0 END)`
	if err := open(t, s).Exec(t.Context(), want); err != nil {
		t.Error(err)
	}
}

// TestServerWithoutConnectionsIsAway: after a failover all come back at once, and whoever
// gets no connection now may get one later. It kept Outriders from starting.
func TestServerWithoutConnectionsIsAway(t *testing.T) {
	server, s := shared(t)
	server.Exec(t, "", `CREATE ROLE crowded LOGIN CONNECTION LIMIT 0`)
	t.Cleanup(func() { server.Exec(t, "", `DROP ROLE crowded`) })
	s.URL = strings.Replace(s.URL, "outrider@", "crowded@", 1)
	_, err := store.Open(t.Context(), s)
	if !errors.Is(err, store.ErrAway) {
		t.Errorf("got %v, want ErrAway", err)
	}
	wantRefused(t, err, "it has no connection left: an Outrider uses up to 4")
}

func TestServerWithoutFsyncEarnsAWarning(t *testing.T) {
	server, s := shared(t)
	if warnings := open(t, s).Warnings(); len(warnings) != 0 {
		t.Errorf("got %q", warnings)
	}
	server.Exec(t, s.URL, `CREATE SCHEMA fake;
		CREATE FUNCTION fake.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$SELECT 'off'$$`)
	s.URL += "&search_path=fake,pg_catalog,public"
	if warnings := open(t, s).Warnings(); len(warnings) != 1 || !strings.Contains(warnings[0], "fsync = off") {
		t.Errorf("got %q", warnings)
	}
}

// TestTablesLiveBesideThoseOfOthers, and in a schema of their own where the URL names
// one: then there are two stores.
func TestTablesLiveBesideThoseOfOthers(t *testing.T) {
	server, s := shared(t)
	server.Exec(t, s.URL, `CREATE TABLE slots (id TEXT); CREATE TABLE migrations (version INTEGER); CREATE SCHEMA own`)
	save(t, open(t, s), "a/b", canary)
	own := s
	own.URL += "&search_path=own"
	save(t, open(t, own), "a/b", "another")
	wantKept(t, open(t, s), "a/b", canary)
	server.Exec(t, s.URL, `SELECT sealed FROM own.outrider_slots`)
}

// TestUserNeedNotCreateWhatIsThere: who made the tables may be another one.
func TestUserNeedNotCreateWhatIsThere(t *testing.T) {
	server, s := shared(t)
	seed(t, s)
	server.Exec(t, "", `CREATE ROLE worker LOGIN`)
	owners := s.URL
	t.Cleanup(func() {
		server.Exec(t, owners, `DROP OWNED BY worker`)
		server.Exec(t, "", `DROP ROLE worker`)
	})
	server.Exec(t, s.URL, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO worker`)
	s.URL = strings.Replace(s.URL, "outrider@", "worker@", 1)
	working := open(t, s)
	wantKept(t, working, "a/b", canary)
	lock(t, working.Slot("a/b"))()
	saveQuotas(t, working, daily("k", 1, time.Hour))
	rekey(t, s, key(other))
}

func TestConnectionsAreBounded(t *testing.T) {
	server, s := shared(t)
	opened := open(t, s)
	save(t, opened, "a/b", canary)
	var working sync.WaitGroup
	for range 40 {
		working.Go(func() {
			wantKept(t, opened, "a/b", canary)
			save(t, opened, "a/b", canary)
		})
	}
	working.Wait()
	server.Exec(t, s.URL, `SELECT 1 / (CASE WHEN count(*) <= 4 THEN 1 ELSE 0 END) FROM pg_stat_activity WHERE application_name = 'outrider'`)
}

func TestStatementEndsWithItsContext(t *testing.T) {
	_, s := shared(t)
	opened, blocking := open(t, s), open(t, s)
	save(t, opened, "a/b", canary)
	release, err := blocking.Block(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tooLong := errors.New("the call's deadline")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, tooLong)
	defer cancel()
	if err := opened.Slot("a/b").Save(ctx, []byte("late")); !errors.Is(err, tooLong) {
		t.Errorf("got %v, want why the context ended", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

// TestOutriderOfAnotherMachineNeedsTheKey: each has a state directory of its own.
func TestOutriderOfAnotherMachineNeedsTheKey(t *testing.T) {
	_, s := shared(t)
	s.Key = nil
	seed(t, s)
	another := s
	another.Dir = t.TempDir()
	wantNotOpened(t, another, "postgres at ", "its key is missing", "the Outrider that sealed it has it", "OUTRIDER_KEY or [store] key")
	another.Key = key(strings.TrimSpace(read(t, filepath.Join(s.Dir, "store.key"))))
	wantKept(t, open(t, another), "a/b", canary)
}

func TestCheckURL(t *testing.T) {
	for _, url := range []string{
		"postgres://outrider:canary@db.example.com:6432/tokens?sslmode=verify-full\n",
		"postgresql://a@one,two/tokens?target_session_attrs=read-write",
		"postgres:///tokens?host=/run/postgresql",
	} {
		if err := store.CheckURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for url, part := range map[string]string{
		"": "must be a URL", "mysql://u:canary@host/x": "must be a URL", "host=db password=canary": "must be a URL",
		"postgres://u:canary%@host/x": "written as %40", "postgres://u:canary@host:x/x": "must be a URL",
		"postgres://u:canary@host/x?sslmode=canary":                                 "such as sslmode",
		"postgres://u:canary@host/x?connect_timeout=canary":                         "is no URL",
		"postgres://u:canary@host/x?sslrootcert=/none/here.pem&sslmode=verify-full": "/none/here.pem",
	} {
		wantRefused(t, store.CheckURL(url), part)
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, url := range []string{"postgres://u:%s@host/x", "postgres://%s@host:1/x?sslmode=%s", "%s", "postgres://u@h/%s?password=%s&host=a,b"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(text, "%s", canary)
		if err := store.CheckURL(text); err != nil && strings.Contains(err.Error(), canary) && !strings.Contains(err.Error(), "names a file") {
			t.Errorf("%q: the error shows it: %v", text, err)
		}
	})
}
