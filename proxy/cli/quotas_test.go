package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/config"
	"outrider/proxy/store"
)

// spent is a quota with so much spent.
func spent(key string, n int64) store.Quota {
	return store.Quota{Upstream: "crm", Table: "limit", Key: key, Spent: n, State: fmt.Append(nil, n), Until: time.Now().Truncate(24 * time.Hour).Add(48 * time.Hour)}
}

// text names what is in quotas, in a word each.
func text(quotas []store.Quota) string {
	var words []string
	for _, q := range quotas {
		words = append(words, fmt.Sprintf("%s=%s", q.Key, q.State))
	}
	return strings.Join(words, " ")
}

// A meter is a source whose quotas a test sets.
type meter struct {
	mu       sync.Mutex
	windows  []store.Quota
	restored []string
}

func (m *meter) set(quotas ...store.Quota) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.windows = quotas
}

func (m *meter) Windows() []store.Quota {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.windows
}

func (m *meter) Restore(kept []store.Quota) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.restored = append(m.restored, text(kept))
}

func (m *meter) wantRestored(t *testing.T, want ...string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(m.restored, want) {
		t.Errorf("restored is %q, want %q", m.restored, want)
	}
}

// A shelf keeps quotas in memory, and remembers when it was asked to do what.
type shelf struct {
	begun time.Time
	kept  []store.Quota
	mute  bool // nothing is answered

	mu     sync.Mutex
	broken error    // is answered instead
	asked  []string // "10s save a=1"
}

func newShelf(kept ...store.Quota) *shelf { return &shelf{begun: time.Now(), kept: kept} }

// fail has the shelf answer an error; nil: no more.
func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

func (s *shelf) answer(ctx context.Context, question string) error {
	s.mu.Lock()
	s.asked = append(s.asked, fmt.Sprint(time.Since(s.begun), " ", question))
	broken := s.broken
	s.mu.Unlock()
	if s.mute {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return broken
}

func (s *shelf) quotas(ctx context.Context) ([]store.Quota, error) {
	if err := s.answer(ctx, "read"); err != nil {
		return nil, err
	}
	return s.kept, nil
}

func (s *shelf) saveQuotas(ctx context.Context, quotas []store.Quota) error {
	return s.answer(ctx, "save "+text(quotas))
}

func (s *shelf) wantAsked(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.asked, want) {
		t.Errorf("the shelf was asked\n%q, want\n%q", s.asked, want)
	}
}

// logTo is a logger that a test can read, without times.
func logTo(b *logBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

const (
	notKept = `level=WARN msg="how far long quotas are spent is not kept, so that a restart would begin them anew; it is tried again" error=`
	again   = `level=INFO msg="how far long quotas are spent is kept again"`
)

func wantLog(t *testing.T, log *logBuffer, lines ...string) {
	t.Helper()
	want := ""
	for _, line := range lines {
		want += line + "\n"
	}
	if got := log.String(); got != want {
		t.Errorf("the log is\n%s, want\n%s", got, want)
	}
}

func TestQuotasAreHandedOverAtTheStartAndKeptAsTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		a, b := spent("a", 5), spent("b", 7)
		meter, shelf := &meter{}, newShelf(a, b)
		k := keepQuotas(t.Context(), meter, shelf, logTo(log))
		meter.wantRestored(t, "a=5 b=7")
		b.Until = b.Until.Add(time.Microsecond)
		meter.set(a, b) // as it was kept
		time.Sleep(15 * time.Second)
		meter.set(spent("a", 6), b, spent("c", 1))
		time.Sleep(22 * time.Second) // in which only the first look finds something
		b.State = []byte("8")
		meter.set(spent("a", 6), b, spent("c", 1))
		k.close(t.Context())
		shelf.wantAsked(t, "0s read", "20s save a=6 c=1", "37s save b=8")
		wantLog(t, log)
	})
}

func TestNothingIsKeptWhereNothingIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter, shelf := &meter{}, newShelf()
		k := keepQuotas(t.Context(), meter, shelf, slog.New(slog.DiscardHandler))
		time.Sleep(time.Minute)
		k.close(t.Context())
		shelf.wantAsked(t, "0s read")
		meter.wantRestored(t)
	})
}

// Calls go on after the signal to end, and what they spend is kept.
func TestQuotasAreKeptUntilTheLastCallHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter, shelf := &meter{}, newShelf()
		signalled, signal := context.WithCancel(t.Context())
		k := keepQuotas(signalled, meter, shelf, slog.New(slog.DiscardHandler))
		signal()
		meter.set(spent("a", 1))
		time.Sleep(12 * time.Second)
		meter.set(spent("a", 2))
		k.close(t.Context())
		shelf.wantAsked(t, "0s read", "10s save a=1", "12s save a=2")
	})
}

func TestFailureToKeepIsToldOnceAndSoIsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		meter, shelf := &meter{windows: []store.Quota{spent("a", 1)}}, newShelf()
		k := keepQuotas(t.Context(), meter, shelf, logTo(log))
		shelf.fail(errors.New("the disk is full"))
		time.Sleep(25 * time.Second)
		wantLog(t, log, notKept+`"the disk is full"`)
		shelf.fail(nil)
		time.Sleep(20 * time.Second)
		wantLog(t, log, notKept+`"the disk is full"`, again)
		shelf.fail(errors.New("the disk is full again"))
		meter.set(spent("a", 2))
		k.close(t.Context())
		wantLog(t, log, notKept+`"the disk is full"`, again, notKept+`"the disk is full again"`)
		shelf.wantAsked(t, "0s read", "10s save a=1", "20s save a=1", "30s save a=1", "45s save a=2")
	})
}

// A sidecar that came up before its database would have written its fresh day over what
// was kept.
func TestWhatWasKeptIsReadBeforeAnythingIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		meter, shelf := &meter{windows: []store.Quota{spent("a", 1)}}, newShelf(spent("a", 900))
		shelf.fail(store.ErrAway)
		k := keepQuotas(t.Context(), meter, shelf, logTo(log))
		time.Sleep(15 * time.Second)
		shelf.fail(nil)
		time.Sleep(10 * time.Second)
		meter.wantRestored(t, "a=900")
		k.close(t.Context())
		shelf.wantAsked(t, "0s read", "10s read", "20s read", "20s save a=1")
		wantLog(t, log, notKept+fmt.Sprintf("%q", store.ErrAway.Error()), again)
	})
}

func TestMuteStoreHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		meter, shelf := &meter{}, newShelf()
		shelf.mute = true
		begun := time.Now()
		k := keepQuotas(t.Context(), meter, shelf, logTo(log))
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("the start took %s, want 5s", took)
		}
		// It is being asked again when the sidecar ends, at once.
		time.Sleep(19 * time.Second)
		ending, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("we end"))
		defer cancel()
		k.close(ending)
		if took := time.Since(begun); took != 25*time.Second {
			t.Errorf("the end came after %s, want 25s", took)
		}
		shelf.wantAsked(t, "0s read", "15s read", "24s read")
		wantLog(t, log, notKept+`"the store did not answer in time"`)
	})
}

// newQuotaStorage is where a sidecar with this state directory keeps things.
func newQuotaStorage(dir string, log *slog.Logger) *storage {
	return newStorage(&config.File{StateDir: dir}, newSecrets(), log)
}

func TestQuotasSurviveARestartOfTheSidecar(t *testing.T) {
	t.Setenv("OUTRIDER_KEY", "canary-sealing-key")
	dir, log := t.TempDir(), &logBuffer{}
	before := newQuotaStorage(dir, logTo(log))
	k := keepQuotas(t.Context(), &meter{windows: []store.Quota{spent("a", 1)}}, before, logTo(log))
	k.close(t.Context())
	before.close()

	meter, after := &meter{}, newQuotaStorage(dir, logTo(log))
	k = keepQuotas(t.Context(), meter, after, logTo(log))
	k.close(t.Context())
	after.close()
	meter.wantRestored(t, "a=1")
	wantLog(t, log)
}

// Who keeps no tokens, and has spent nothing of a long window, needs no state directory.
func TestStoreIsNotMadeToLookForQuotas(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := newQuotaStorage(dir, slog.New(slog.DiscardHandler))
	if kept, err := s.quotas(t.Context()); len(kept) != 0 || err != nil {
		t.Errorf("got %v, %v", kept, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a state directory: %v", err)
	}
	if err := s.saveQuotas(t.Context(), []store.Quota{spent("a", 1)}); err != nil {
		t.Error(err)
	}
	s.close()
}

// A key that seals nothing is no reason to warn anybody. It is when tokens come.
func TestKeyOfTheStoreIsToldWhenTokensAreKept(t *testing.T) {
	log := &logBuffer{}
	s := newQuotaStorage(t.TempDir(), logTo(log))
	defer s.close()
	if err := s.saveQuotas(t.Context(), []store.Quota{spent("a", 1)}); err != nil {
		t.Fatal(err)
	}
	if said := log.String() + s.text() + strings.Join(s.warnings(), ""); said != "" {
		t.Errorf("of a store without tokens it says %s", said)
	}
	for range 2 {
		if _, err := s.keep("crm"); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "store.key") || s.text() == "" || len(s.warnings()) != 1 {
		t.Errorf("%d warnings in %s; status says %q, %q", n, log, s.text(), s.warnings())
	}
}

// A store that is wrong keeps a sidecar without tokens neither from starting nor from its
// calls; a credential that comes with a reload is refused as at the start.
func TestWrongStoreIsNoReasonToStopForQuotasAlone(t *testing.T) {
	dir, log := t.TempDir(), &logBuffer{}
	if err := os.WriteFile(filepath.Join(dir, "store.db"), []byte("no database\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newQuotaStorage(dir, logTo(log))
	k := keepQuotas(t.Context(), &meter{windows: []store.Quota{spent("a", 1)}}, s, logTo(log))
	k.close(t.Context())
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "move it away") {
		t.Errorf("the log is\n%s", got)
	}
	if _, err := s.keep("crm"); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("got %v, want why it is not open", err)
	}
}

func TestStoreCommandCountsQuotas(t *testing.T) {
	t.Setenv("OUTRIDER_KEY", "canary-sealing-key")
	state := t.TempDir()
	s := newQuotaStorage(state, slog.New(slog.DiscardHandler))
	over := spent("over", 1)
	over.Until = time.Now().Add(-time.Hour)
	if err := s.saveQuotas(t.Context(), []store.Quota{spent("a", 1), over, spent("b", 1)}); err != nil {
		t.Fatal(err)
	}
	s.close()
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), fmt.Sprintf("state_dir = %q\n", state))
	if out := succeeds(t, "store", "--config", path); !strings.Contains(out, "kept    0 credentials; 2 quotas\n") {
		t.Errorf("it says\n%s", out)
	}
	if out := succeeds(t, "store", "--config", path, "--json"); !strings.Contains(out, `"quotas": 2`) {
		t.Errorf("it says\n%s", out)
	}
}
