package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"outrider/policy/config"
	"outrider/proxy"
	"outrider/proxy/outbox"
	"outrider/proxy/outbox/outboxtest"
	"outrider/proxy/store"
)

// A lossy store keeps a letter, and is gone before it can say so.
type lossyStore struct {
	*outboxtest.Store
	gone *atomic.Bool
}

func (s lossyStore) Keep(ctx context.Context, l store.NewLetter, body io.Reader, b store.Bounds) (store.Receipt, error) {
	receipt, err := s.Store.Keep(ctx, l, body, b)
	if err == nil && s.gone.Load() {
		return store.Receipt{}, fmt.Errorf("keeping letter %s: %w", l.ID, store.ErrUncertain)
	}
	return receipt, err
}

// Nobody can tell whether the call is kept: that is not "kept", and not "nothing was kept".
// Its caller is told where to look, and calls again under the same key without harm.
func TestCallThatMayBeKeptIsToldSo(t *testing.T) {
	for _, mode := range []string{"always", "on_failure"} {
		_, address := flakily(t, http.StatusServiceUnavailable)
		document := anyPorts + fmt.Sprintf("state_dir = %q\n", t.TempDir()) + keeping(address, mode) + keyed
		file, err := config.Parse("test.toml", []byte(document))
		if err != nil {
			t.Fatal(err)
		}
		log := &logBuffer{}
		s, err := prepare(t.Context(), "", []byte(document), file, log)
		if err != nil {
			t.Fatal(err)
		}
		kept := lossyStore{&outboxtest.Store{}, &atomic.Bool{}}
		s.outbox = outbox.New(outbox.Settings{Store: func(context.Context) (outbox.Store, error) { return kept, nil }, Jitter: jitter}, proxy.Limits(file.Outbox))
		s.serve()
		t.Cleanup(func() { _ = s.stop(context.Background()) })
		r := &running{sidecar: s, t: t, log: log}

		kept.gone.Store(true)
		resp, body := r.post(http.DefaultClient, r.url("/api/x"), "x", "Idempotency-Key", "k")
		wantProblem(t, resp, body, http.StatusServiceUnavailable, "outbox-unavailable")
		location := regexp.MustCompile(`http://[^ ]*/outbox/letters/[0-9a-f-]+`).FindString(body)
		if location == "" || strings.Contains(body, "nothing was kept") || resp.Header.Get("X-Provider") != "" {
			t.Fatalf("%s: answered %v %s", mode, resp.Header, body)
		}
		kept.gone.Store(false)
		if resp, body := get(t, http.DefaultClient, location); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"state":"waiting"`) {
			t.Errorf("%s: the letter is %d %s", mode, resp.StatusCode, body)
		}
		if again := r.keep(t, "x", "Idempotency-Key", "k"); !again.Duplicate || again.Location != location {
			t.Errorf("%s: again it is %+v, and not %s", mode, again, location)
		}
	}
}
