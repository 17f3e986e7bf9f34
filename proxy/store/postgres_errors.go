package store

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrAway is a database server that does not answer, and may later.
var ErrAway = errors.New("it cannot be reached")

// errStandby is a server that only follows another one.
var errStandby = errors.New("it is a standby, which takes no writes")

// adviceStandby is for it, and for a primary that was told to refuse writes.
const adviceStandby = "it takes no writes: name the primary, or all servers with target_session_attrs=read-write"

// diskFull is the state of SQL for a write that found no room on the server.
const diskFull = "53100"

// state of SQL → what can be done (https://www.postgresql.org/docs/current/errcodes-appendix.html)
var adviceOf = map[string]string{
	"28P01":  "it refuses the user or the password",
	"28000":  "it lets this user not in from here: look at the user, at sslmode, and at the server's pg_hba.conf",
	"3D000":  "there is no such database: CREATE DATABASE it first",
	"3F000":  "there is no schema to make tables in: CREATE SCHEMA outrider AUTHORIZATION the user, and add search_path=outrider to the URL",
	"42501":  "the user may not do this: let it own a database or a schema, CREATE SCHEMA outrider AUTHORIZATION the user, and add search_path=outrider to the URL",
	"25006":  adviceStandby,
	diskFull: "its disk is full; what was kept before is unchanged",
	"53300":  fmt.Sprintf("it has no connection left: an Outrider uses up to %d", connections),
	"08P01":  "what is between us and the server, a pooler perhaps, does not understand us: connect to the server itself",
	"42P05":  "a pooler hands its connections around: add default_query_exec_mode=exec to the URL",
	"26000":  "a pooler hands its connections around: add default_query_exec_mode=exec to the URL",
}

// explainPostgres says which database an error is about, and what can be done where
// that is known. Nothing of the URL is in it but host and database; the driver's own
// text adds the user.
func explainPostgres(place string, err error) error {
	advice := ""
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		advice = adviceOf[failure.Code]
	} else if errors.Is(err, errStandby) {
		advice = adviceStandby
	}
	if _, known := errors.AsType[*pgconn.ConnectError](err); known {
		err = oneLine{err}
	}
	away := isAway(err)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New(err.Error()) // the socket of a server that is away: that is not to say that there is no store
	}
	switch {
	case away && advice == "":
		return fmt.Errorf("%s: %w (%w)", place, ErrAway, err)
	case away:
		return fmt.Errorf("%s: %w: %s (%w)", place, ErrAway, advice, err)
	case advice == "":
		return fmt.Errorf("%s: %w", place, err)
	}
	return fmt.Errorf("%s: %s (%w)", place, advice, err)
}

// isAway reports whether there may be an answer later: nobody listens, the network
// fails, the server starts or stops, or has no connection left for now.
func isAway(err error) bool {
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch failure.Code {
		case "57P01", "57P02", "57P03", "53300": // admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections
			return true
		}
		return false
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, driver.ErrBadConn)
}

func fullPostgres(err error) bool {
	failure, ok := errors.AsType[*pgconn.PgError](err)
	return ok && failure.Code == diskFull
}

// oneLine is an error about several attempts to connect, which the driver gives a
// line each.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

func (e oneLine) Unwrap() error { return e.error }
