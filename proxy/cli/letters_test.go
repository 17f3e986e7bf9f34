package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/store/postgrestest"
)

// A process ends with letters in its outbox, and the next one sends them: under the key
// that the first had told its client, and with the credential that is there by then.
func TestLettersOutliveTheirProcess(t *testing.T) {
	provider, address := flakily(t, http.StatusServiceUnavailable)
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	document := anyPorts + fmt.Sprintf("state_dir = %q\n", dir) + api(address) + fmt.Sprintf("auth = { type = \"bearer\", token = \"file:%s\" }\n", token) +
		"outbox = \"always\"\n" + keyed
	writeFile(t, token, "canary-first-token")
	first := launchUnstopped(t, "", document)
	kept := first.keep(t, "canary-body", "X-Canary", "canary-header", "Authorization", "Bearer canary-of-the-caller", "Outrider-Order-Key", "canary-order")
	eventually(t, "an attempt", func() (bool, string) {
		view, err := first.outbox.Letter(t.Context(), kept.ID)
		return err == nil && view.Attempts > 0 && view.State == outbox.StateWaiting, fmt.Sprint(view, err)
	})
	if err := first.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	nothingIsReadable(t, dir, token)

	writeFile(t, token, "canary-second-token")
	provider.status.Store(0)
	second := launchData(t, "", document)
	second.hurry()
	view := second.delivered(second.url("/outbox/letters/" + kept.ID))
	if view.Attempts != 2 || len(view.History) != 2 || view.History[0].Status != http.StatusServiceUnavailable || view.History[1].Status != http.StatusOK {
		t.Errorf("the letter is %+v", view)
	}
	sent := provider.take()
	if len(sent) != 2 {
		t.Fatalf("sent was %+v", sent)
	}
	for i, want := range []string{"Bearer canary-first-token", "Bearer canary-second-token"} {
		if got := sent[i]; got.header.Get("Authorization") != want || got.header.Get("Idempotency-Key") != kept.IdempotencyKey || got.body != "canary-body" || got.header.Get("X-Canary") != "canary-header" {
			t.Errorf("request %d is %+v, want it with %s", i, got, want)
		}
	}
	if logged := first.log.String() + second.log.String(); strings.Contains(logged, "canary") {
		t.Errorf("the log has what is nobody's business:\n%s", logged)
	}
	nothingIsReadable(t, dir, token)
}

// nothingIsReadable looks for canaries in the files of a state directory.
func nothingIsReadable(t *testing.T, dir, but string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("the files are %q, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || file == but {
			continue
		}
		if bytes.Contains(data, []byte("canary")) {
			t.Errorf("%s shows what is in a letter", filepath.Base(file))
		}
	}
}

// A body of 64 MiB passes through the outbox in pieces, in both directions. What tests before
// it left in the heap, such as connections that are kept for others, is not to be counted.
func TestLargeLetterIsNeverWholeInMemory(t *testing.T) {
	if !alone(t) {
		return
	}
	const size = 64 << 20
	received := make(chan [sha256.Size]byte, 1)
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		if err != nil || n != size || r.ContentLength != size {
			t.Errorf("%d bytes came, announced as %d: %v", n, r.ContentLength, err)
		}
		received <- [sha256.Size]byte(hash.Sum(nil))
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.Copy(w, io.LimitReader(new(pattern), size))
	})
	r := launch(t, keeping(server.Listener.Addr().String(), "always")+keyed)
	runtime.GC()
	var most atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapAlloc))
			select {
			case <-tick.C:
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	hash := sha256.New()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url("/api/x"), io.TeeReader(io.LimitReader(new(pattern), size), hash))
	resp, body := do(t, http.DefaultClient, req)
	kept := isKept(t, resp, body)
	r.delivered(kept.Location)
	if got := <-received; got != [sha256.Size]byte(hash.Sum(nil)) {
		t.Error("the upstream got another body")
	}
	answer, err := http.Get(kept.Location + "/response")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	back := sha256.New()
	if n, err := io.Copy(back, answer.Body); err != nil || n != size || !bytes.Equal(back.Sum(nil), hash.Sum(nil)) {
		t.Errorf("of the answer %d bytes are kept, as they were: %v; %v", n, bytes.Equal(back.Sum(nil), hash.Sum(nil)), err)
	}
	close(stop)
	<-stopped
	if m := most.Load(); m > 48<<20 {
		t.Errorf("it took %d MiB of memory", m>>20)
	}
}

// A reload takes an upstream away that has letters, and another one brings it back. What
// was accepted is not lost over it, nor sent elsewhere.
func TestLettersWaitForTheirUpstreamToBeConfiguredAgain(t *testing.T) {
	provider, address := flakily(t, http.StatusServiceUnavailable)
	other, elsewhere := flakily(t, 0)
	path := filepath.Join(t.TempDir(), "outrider.toml")
	top := anyPorts + fmt.Sprintf("state_dir = %q\n", t.TempDir())
	with := top + keeping(address, "always") + keyed
	writeFile(t, path, with)
	r := launchFile(t, path)
	kept := r.keep(t, "x")
	eventually(t, "an attempt", func() (bool, string) {
		view, err := r.outbox.Letter(t.Context(), kept.ID)
		return err == nil && view.Attempts > 0 && view.State == outbox.StateWaiting, fmt.Sprint(view, err)
	})
	writeFile(t, path, top+strings.Replace(keeping(elsewhere, "always"), "upstream.api", "upstream.other", 1))
	if err := r.reloader.Reload(); err != nil {
		t.Fatal(err)
	}
	provider.status.Store(0)
	r.hurry()
	if resp, body := get(t, http.DefaultClient, r.url("/api/x")); resp.StatusCode != http.StatusNotFound {
		t.Fatalf("the upstream is there still: %d %s", resp.StatusCode, body)
	}
	writeFile(t, path, with)
	if err := r.reloader.Reload(); err != nil {
		t.Fatal(err)
	}
	r.hurry()
	r.delivered(kept.Location)
	if len(other.take()) != 0 || len(provider.take()) != 2 {
		t.Error("the letter went elsewhere, or not once to where it belongs")
	}
}

// Nobody may be waiting any more for calls to be kept, and yet letters wait.
func TestLettersAreSentWhereNoCallIsKeptAnyMore(t *testing.T) {
	provider, address := flakily(t, http.StatusServiceUnavailable)
	top := anyPorts + fmt.Sprintf("state_dir = %q\n", t.TempDir())
	first := launchUnstopped(t, "", top+keeping(address, "always")+keyed)
	kept := first.keep(t, "x")
	if err := first.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	provider.status.Store(0)
	second := launchData(t, "", top+keeping(address, "never")+keyed)
	second.hurry()
	second.delivered(second.url("/outbox/letters/" + kept.ID))
}

// The database was away when the next process started, which keeps no calls any more: nobody
// asked again, and the letters of the first one lay there.
func TestLettersThatAreLeftAreFoundWhenTheStoreIsBack(t *testing.T) {
	if !apart(t) {
		return
	}
	server := postgrestest.Start(t)
	t.Setenv("DATABASE_URL", server.Database(t))
	t.Setenv("STORE_KEY", keyBefore)
	provider, address := flakily(t, http.StatusServiceUnavailable)
	top := anyPorts + fmt.Sprintf("state_dir = %q\n", t.TempDir()) + "[store]\nurl = \"env:DATABASE_URL\"\nkey = \"env:STORE_KEY\"\n"
	first := launchUnstopped(t, "", top+keeping(address, "always")+keyed)
	kept := first.keep(t, "x")
	eventually(t, "an attempt", func() (bool, string) {
		view, err := first.outbox.Letter(t.Context(), kept.ID)
		return err == nil && view.Attempts > 0 && view.State == outbox.StateWaiting, fmt.Sprint(view, err)
	})
	if err := first.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	provider.status.Store(0)
	server.Stop(t)
	second := launchData(t, "", top+keeping(address, "never")+keyed)
	server.Continue(t)
	eventually(t, "the letter", func() (bool, string) {
		if _, err := second.outbox.Retry(t.Context(), outbox.Filter{State: outbox.StateWaiting}); err != nil {
			return false, err.Error()
		}
		view, err := second.outbox.Letter(t.Context(), kept.ID)
		return err == nil && view.State == outbox.StateDelivered, fmt.Sprint(view, err)
	})
}

// Without an outbox in the configuration there is no store for one.
func TestOutboxThatNobodyWantsMakesNoStore(t *testing.T) {
	_, address := flakily(t, 0)
	dir := t.TempDir()
	r := launchData(t, "", anyPorts+fmt.Sprintf("state_dir = %q\n", dir)+keeping(address, "never"))
	if resp, body := r.post(http.DefaultClient, r.url("/api/x"), "x", "Prefer", "respond-async"); resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if _, err := os.Stat(filepath.Join(dir, "store.db")); err == nil {
		t.Error("there is a store")
	}
}

// A letter that has left is waited for while we drain; a caller that waits for one that has
// not is answered at once.
func TestDrainingWaitsForLettersThatHaveLeft(t *testing.T) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	top := anyPorts + fmt.Sprintf("state_dir = %q\n", t.TempDir())
	document := top + keeping(server.Listener.Addr().String(), "always") + "retry = { attempts = 1 }\n"
	r := launchUnstopped(t, "", document)
	answered := make(chan keptCall, 1)
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url("/api/x"), strings.NewReader("x"))
		req.Header.Set("Prefer", "wait=60")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			close(answered)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		answered <- isKept(t, resp, string(body))
	}()
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop(context.Background()) }()
	kept := <-answered
	if kept.State != outbox.StateSending {
		t.Errorf("the caller is told that the letter is %q", kept.State)
	}
	select {
	case err := <-stopped:
		t.Fatalf("it ended before the letter had: %v", err)
	default:
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	again := launchData(t, "", document)
	if view := again.delivered(again.url("/outbox/letters/" + kept.ID)); view.Attempts != 1 {
		t.Errorf("the letter is %+v", view)
	}
}
