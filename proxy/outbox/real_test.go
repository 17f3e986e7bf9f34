package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/store"
)

// real is an outbox over SQLite in a directory.
func real(t testing.TB, dir string, send func(context.Context, *outbox.Sending) outbox.Outcome) (o *outbox.Outbox, stop func()) {
	t.Helper()
	kept, err := store.Open(context.Background(), store.Settings{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	o = outbox.New(outbox.Settings{
		Store:   func(context.Context) (outbox.Store, error) { return outbox.Over(kept.Outbox()), nil },
		Send:    send,
		Address: address,
		Jitter:  func(time.Duration) time.Duration { return 0 },
	}, limits())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); o.Run(ctx) }()
	return o, func() {
		cancel()
		<-ended
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	}
}

// departing departs, and answers.
func departing(answer func(*outbox.Sending) outbox.Outcome) func(context.Context, *outbox.Sending) outbox.Outcome {
	return func(ctx context.Context, s *outbox.Sending) outbox.Outcome {
		if err := s.Depart(ctx); err != nil {
			return outbox.Outcome{Verdict: outbox.NotSent, Err: err}
		}
		return answer(s)
	}
}

func wait(t *testing.T, o *outbox.Outbox, id, want string) *outbox.View {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	view, err := o.Wait(ctx, id)
	if err != nil {
		t.Fatalf("letter %s: %v", id, err)
	}
	if got := strings.TrimSpace(view.State + " " + view.Reason); got != want {
		t.Errorf("letter %s is %s, want %s", id, got, want)
	}
	return view
}

// What a letter is comes back from the real store byte for byte, and so does the answer.
func TestRealStoreKeepsLettersAndAnswersWhole(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 1<<17) // 2 MiB
	o, stop := real(t, t.TempDir(), departing(func(s *outbox.Sending) outbox.Outcome {
		from, err := s.Body()
		if err != nil {
			return outbox.Outcome{Verdict: outbox.Dead, Err: err}
		}
		got, err := io.ReadAll(from)
		if err != nil || string(got) != body || s.Target != "/a?\xff" || s.Header.Get("X") != "\xfe" || s.Key != "k" || s.Trailer.Get("T") != "end" {
			t.Errorf("sent %d bytes, %v, of %+v", len(got), err, s.Letter)
		}
		return answer(outbox.Delivered, 200, body+"!")
	}))
	defer stop()
	l := &outbox.Letter{
		Upstream: "crm", Method: "POST", Target: "/a?\xff", Header: http.Header{"X": {"\xfe"}}, Trailer: http.Header{},
		Key: "k", KeyHeader: "Idempotency-Key", OrderKey: "o", DedupKey: "d",
	}
	from := io.MultiReader(strings.NewReader(body), ending(func() { l.Trailer.Set("T", "end") }))
	receipt, err := o.Keep(context.Background(), l, from, outbox.KeepOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, o, receipt.ID, "delivered")
	kept, err := o.Response(context.Background(), receipt.ID)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(kept.Body)
	if err := errors.Join(err, kept.Body.Close()); err != nil || string(got) != body+"!" || kept.Header.Get("X-Answer") != "yes" {
		t.Errorf("answer of %d bytes, %v, %+v", len(got), err, kept)
	}
}

// ending is the end of a body, as net/http reads it: then the trailers are there.
type ending func()

// Read implements io.Reader.
func (e ending) Read([]byte) (int, error) { e(); return 0, io.EOF }

// A restart in between: what was accepted is sent, with the same key.
func TestRealStoreSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	down := func(*outbox.Sending) outbox.Outcome {
		return outbox.Outcome{Verdict: outbox.Later, After: time.Hour, NothingDone: true, Err: errors.New("refused")}
	}
	o, stop := real(t, dir, departing(down))
	receipt, err := o.Keep(context.Background(), &outbox.Letter{Upstream: "crm", Method: "POST", KeyHeader: "Idempotency-Key"}, strings.NewReader("x"), outbox.KeepOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	var key string
	o, stop = real(t, dir, departing(func(s *outbox.Sending) outbox.Outcome { key = s.Key; return good(s, 1) }))
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := o.Drain(ctx, outbox.Filter{}); err != nil {
		t.Fatal(err)
	}
	wait(t, o, receipt.ID, "delivered")
	if key != receipt.Key || key == "" {
		t.Errorf("key %q, want %q", key, receipt.Key)
	}
}

// An import, its order, its duplicates, dead letters, edit, retry and export, on the real store.
func TestRealStoreIsOperated(t *testing.T) {
	var mu sync.Mutex
	var order []string
	o, stop := real(t, t.TempDir(), departing(func(s *outbox.Sending) outbox.Outcome {
		mu.Lock()
		defer mu.Unlock()
		if s.OrderKey != "" {
			order = append(order, s.Target)
		}
		if s.Target == "/wrong" {
			return answer(outbox.Dead, 422, "no")
		}
		return answer(outbox.Delivered, 200, "done")
	}))
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var file, want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&file, `{"upstream":"crm","path":"/%d","order_key":"k"}`+"\n", i)
		fmt.Fprintf(&want, "/%d ", i)
	}
	fmt.Fprintln(&file, `{"upstream":"crm","path":"/wrong"}`)
	for _, expected := range []outbox.Imported{{Letters: 101}, {Duplicates: 101}} {
		got, err := o.Import(ctx, strings.NewReader(file.String()), nil)
		if err != nil || got != expected {
			t.Fatalf("%+v, %v, want %+v", got, err, expected)
		}
	}
	if err := o.Drain(ctx, outbox.Filter{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " ") + " "; got != want.String() {
		t.Errorf("sent %s", got)
	}
	dead, _, err := o.List(ctx, outbox.Filter{State: outbox.StateDead}, "", 10)
	if err != nil || len(dead) != 1 || dead[0].Reason != outbox.ReasonRefused {
		t.Fatalf("dead: %+v, %v", dead, err)
	}
	id := dead[0].ID
	if n, err := o.Retry(ctx, outbox.Filter{IDs: []string{id}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	wait(t, o, id, "dead refused")
	right := "/right"
	if err := o.Edit(ctx, id, outbox.Change{Target: &right, Body: strings.NewReader("new")}); err != nil {
		t.Fatal(err)
	}
	wait(t, o, id, "delivered")
	var out strings.Builder
	if err := o.Export(ctx, outbox.Filter{IDs: []string{id}}, &out); err != nil || !strings.HasSuffix(out.String(), `"body":"done"}}`+"\n") {
		t.Errorf("exported %s, %v", out.String(), err)
	}
	s, err := o.Standing(ctx)
	if err != nil || len(s.Upstreams) != 1 || s.Upstreams[0].Delivered != 101 || s.Upstreams[0].Waiting != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if n, err := o.Drop(ctx, outbox.Filter{}); n != 101 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
}
