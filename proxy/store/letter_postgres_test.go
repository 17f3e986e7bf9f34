package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"outrider/proxy/store"
)

// TestLettersOfAServerThatCrashes: what was acknowledged before and while it crashes is
// there afterwards, what was refused is not, and a sender goes on.
func TestLettersOfAServerThatCrashes(t *testing.T) {
	server, s := shared(t)
	opened := open(t, s)
	o := opened.Outbox()
	holder := hold(t, o)
	keep(t, o, letter("first"), "body")
	wantIDs(t, claim(t, holder, 1), "first")
	results := make([]error, 40)
	var keeping sync.WaitGroup
	crashing := make(chan struct{})
	for n := range results {
		keeping.Go(func() {
			if n >= len(results)/2 {
				<-crashing
			}
			_, results[n] = o.Keep(t.Context(), letter(fmt.Sprint(n)), strings.NewReader("body"), unbounded)
		})
	}
	close(crashing)
	server.Stop(t)
	keeping.Wait()
	if err := holder.Depart(t.Context(), "first"); !errors.Is(err, store.ErrAway) {
		t.Errorf("departing without the database: %v", err)
	}
	_, err := o.Keep(t.Context(), letter("away"), strings.NewReader("body"), unbounded)
	wantRefused(t, err, "keeping letter away", "cannot be reached")
	server.Continue(t)
	for n, err := range results {
		_, missing := o.Get(t.Context(), fmt.Sprint(n))
		if errors.Is(err, store.ErrUncertain) {
			continue
		}
		if (err == nil) != (missing == nil) || err != nil && !errors.Is(err, store.ErrAway) {
			t.Errorf("letter %d was told %v, and reading it says %v", n, err, missing)
		}
	}
	delivered(t, holder, "first")
	lanes(t, holder)
	claim(t, holder, 100)
	wantTallied(t, opened)
}

// TestLetterWhoseCommitHadNoAnswerIsKeptOnce: the connection broke after the server had
// carried the commit out. The caller was told that nothing was kept, and it was sent.
func TestLetterWhoseCommitHadNoAnswerIsKeptOnce(t *testing.T) {
	_, s := shared(t)
	open(t, s) // so that the tables are there
	cut := cutCommits(t, &s)
	opened := open(t, s)
	o := opened.Outbox()
	keep(t, o, letter("first"), "")
	for _, text := range []string{"short", strings.Repeat("long", 100_000)} {
		l := once("letter of "+text[:4], text[:4])
		l.Head = func(store.Body) ([]byte, error) { // which is called in the transaction that it appears by
			cut.Store(true)
			return []byte("head"), nil
		}
		if receipt := keep(t, o, l, text); receipt.Duplicate || receipt.ID != l.ID {
			t.Errorf("got %+v", receipt)
		}
		if cut.Load() {
			t.Error("no commit was cut")
		}
		if body(t, o, l.ID) != text {
			t.Error("it is another one")
		}
	}
	wantTallied(t, opened)
}

// TestLetterThatWaitedInVainIsNotKept: it was told that it may have been kept, after twice the
// time, although nothing had been asked of the server that it could have carried out.
func TestLetterThatWaitedInVainIsNotKept(t *testing.T) {
	_, s := shared(t)
	opened, other := open(t, s), open(t, s)
	release, err := other.Exclude(t.Context())
	must(t, err)
	_, err = opened.Outbox().Keep(t.Context(), letter("a"), nil, unbounded)
	if wantRefused(t, err, "did not answer within 10s"); errors.Is(err, store.ErrUncertain) {
		t.Errorf("got %v", err)
	}
	must(t, release())
	if _, err := opened.Outbox().Get(t.Context(), "a"); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

// cutCommits puts a wire between the store and its server that breaks, once each time that
// it is told to, after the server has answered a commit of something and before the store
// hears of it.
func cutCommits(t *testing.T, s *store.Settings) *atomic.Bool {
	t.Helper()
	server := s.URL[strings.Index(s.URL, "host=")+len("host="):]
	dir := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	cut := new(atomic.Bool)
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", filepath.Join(server, ".s.PGSQL.5432"))
			if err != nil {
				near.Close()
				continue
			}
			go relay(near, far, cut)
		}
	}()
	s.URL = strings.Replace(s.URL, server, dir, 1)
	return cut
}

// relay carries bytes both ways, until either end closes, or it is cut.
func relay(near, far net.Conn, cut *atomic.Bool) {
	defer near.Close()
	defer far.Close()
	var commits atomic.Bool // the last words of the store
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := near.Read(buffer)
			if err != nil {
				far.Close()
				return
			}
			commits.Store(bytes.Contains(bytes.ToLower(buffer[:n]), []byte("commit\x00")))
			if _, err := far.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := far.Read(buffer)
		if err != nil {
			return
		}
		if commits.Load() && cut.CompareAndSwap(true, false) {
			return
		}
		if _, err := near.Write(buffer[:n]); err != nil {
			return
		}
	}
}
