//go:build unix

package cli

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/store/postgrestest"
)

// A shifted database has a clock of its own, which can be set.
type shifted struct {
	server *postgrestest.Server
	url    string // as its administrator reaches it
}

// newShifted makes one. The URL that it gives finds its clock before that of the server.
func newShifted(t *testing.T) (d *shifted, by string) {
	t.Helper()
	server := postgrestest.Start(t)
	d = &shifted{server, server.Database(t)}
	server.Exec(t, d.url, `CREATE SCHEMA shifted;
		CREATE TABLE shifted.clock (ahead INTERVAL NOT NULL);
		INSERT INTO shifted.clock VALUES ('0');
		CREATE FUNCTION shifted.clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE sql AS
			'SELECT pg_catalog.clock_timestamp() + ahead FROM shifted.clock'`)
	at, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	query := at.Query()
	query.Set("search_path", "shifted,pg_catalog")
	at.RawQuery = query.Encode()
	return d, at.String()
}

// set sets the clock so much ahead of the real one, or behind it.
func (d *shifted) set(t *testing.T, ahead time.Duration) {
	t.Helper()
	d.server.Exec(t, d.url, fmt.Sprintf(`UPDATE shifted.clock SET ahead = '%d seconds'`, int(ahead.Seconds())))
}

// A clock that is set by days, forward or back, ends no letter for its age, keeps none until
// the day that it would have been due, and has none sent twice. A machine that slept for two
// days looks like one whose clock was set, and its provider may have forgotten a key since:
// letters that have left before that was noticed may be dead, for somebody who looks.
func TestClockThatIsSetEndsNoLetter(t *testing.T) {
	if !apart(t) {
		return
	}
	database, by := newShifted(t)
	t.Setenv("DATABASE_URL", by)
	t.Setenv("STORE_KEY", keyBefore)
	d := newDepot(t, filepath.Join(t.TempDir(), "state"), `store = { url = "env:DATABASE_URL", key = "env:STORE_KEY" }`)
	d.up()
	keep := func(letters int) {
		for range letters {
			if !d.call(t, 1<<10) {
				t.Fatal("it is not kept")
			}
		}
	}
	jumps := func(n int) {
		eventually(t, "that the clock was set", func() (bool, string) {
			log := d.log.String()
			return strings.Count(log, "the clock was set") == n, lastLines(log, 5)
		})
	}
	keep(20)
	database.set(t, 48*time.Hour)
	jumps(1)
	keep(20)
	database.set(t, -48*time.Hour)
	jumps(2)
	keep(20)
	d.outage("off")
	sent := len(d.kept)
	for i, id := range d.kept {
		switch view := d.ends(t, id); {
		case view.State == outbox.StateDead && view.Reason == outbox.ReasonKeyAge && !view.Departed.IsZero():
			sent--
		case view.State != outbox.StateDelivered:
			t.Errorf("letter %d: %s %s, kept %s until %s, left %s", i, view.State, view.Reason, view.Created, view.Expires, view.Departed)
		}
	}
	t.Logf("of %d letters %d were sent", len(d.kept), sent)
	d.wantEffects(t, sent)
}
