package outbox_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/outbox/outboxtest"
)

// A rig is an outbox over a store in memory, whose upstream is a function. It lives in a
// bubble.
type rig struct {
	t      *testing.T
	store  *outboxtest.Store
	outbox *outbox.Outbox
	begin  time.Time

	// answer is the upstream: what comes of the n-th sending of a letter (1 is the first).
	answer func(s *outbox.Sending, n int) outbox.Outcome

	mu     sync.Mutex
	sent   []sending
	times  map[string]int
	events []outbox.Event
	stop   context.CancelFunc
	ended  chan struct{}
}

// A sending is one that reached the upstream.
type sending struct {
	id string
	at time.Duration // since the begin
}

// limits are those of the tests.
func limits() outbox.Limits {
	return outbox.Limits{
		MaxAge: 24 * time.Hour, KeepResults: 24 * time.Hour, KeepDead: 720 * time.Hour, DedupWindow: 24 * time.Hour,
		MaxSize: 1 << 30, MaxBody: 64 << 20, Attempts: 100, Concurrency: 16, Priority: "low",
	}
}

// inBubble runs a test with a rig whose upstream answers 200 at once.
func inBubble(t *testing.T, change func(*outbox.Settings, *outbox.Limits), test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, store: &outboxtest.Store{}, begin: time.Now(), times: map[string]int{}, answer: good}
		s, l := r.settings(), limits()
		if change != nil {
			change(&s, &l)
		}
		r.outbox = outbox.New(s, l)
		r.run()
		test(r)
		r.close()
	})
}

func (r *rig) settings() outbox.Settings {
	return outbox.Settings{
		Store:   r.store.Open,
		Send:    r.send,
		Jitter:  func(time.Duration) time.Duration { return 0 },
		Observe: r.note,
	}
}

// run starts the sender.
func (r *rig) run() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	r.stop, r.ended = stop, ended
	go func() {
		defer close(ended)
		r.outbox.Run(ctx)
	}()
	synctest.Wait()
}

// close stops the sender, and waits for it.
func (r *rig) close() {
	r.stop()
	<-r.ended
}

// send is the sender's way to the upstream: a good one departs before it sends.
func (r *rig) send(ctx context.Context, s *outbox.Sending) outbox.Outcome {
	r.mu.Lock()
	r.times[s.ID]++
	n := r.times[s.ID]
	r.mu.Unlock()
	if err := s.Depart(ctx); err != nil {
		return outbox.Outcome{Verdict: outbox.NotSent, Err: err}
	}
	r.mu.Lock()
	r.sent = append(r.sent, sending{s.ID, time.Since(r.begin)})
	r.mu.Unlock()
	out := r.answer(s, n)
	out.Wire = 1
	return out
}

func (r *rig) note(e outbox.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// told are the events of some kinds, as text.
func (r *rig) told(kinds ...outbox.Kind) (told []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if slices.Contains(kinds, e.Kind) {
			told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.ID, e.Reason)))
		}
	}
	return told
}

// keep keeps a letter named id, changed as the test wants it.
func (r *rig) keep(id string, change ...func(*outbox.Letter)) outbox.Receipt {
	r.t.Helper()
	receipt, err := r.tryKeep(id, change...)
	if err != nil {
		r.t.Fatalf("keeping %s: %v", id, err)
	}
	return receipt
}

func (r *rig) tryKeep(id string, change ...func(*outbox.Letter)) (outbox.Receipt, error) {
	l := &outbox.Letter{ID: id, Upstream: "crm", Method: "POST", Target: "/v1/charges?expand=1", Header: http.Header{"Content-Type": {"text/plain"}}}
	for _, c := range change {
		c(l)
	}
	return r.outbox.Keep(context.Background(), l, strings.NewReader("body of "+id), outbox.KeepOptions{})
}

func keyed(l *outbox.Letter) { l.KeyHeader = "Idempotency-Key" }

func ordered(key string) func(*outbox.Letter) { return func(l *outbox.Letter) { l.OrderKey = key } }

func to(upstream, connection string) func(*outbox.Letter) {
	return func(l *outbox.Letter) { l.Upstream, l.Connection = upstream, connection }
}

// after lets time pass, and everything that happens in it.
func (r *rig) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want says which letters were sent so far, and when: of those of one time by their ids.
func (r *rig) want(sent ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []string
	for _, s := range slices.SortedStableFunc(slices.Values(r.sent), func(a, b sending) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) // at one time there is no order
	}) {
		got = append(got, fmt.Sprintf("%s at %v", s.id, s.at))
	}
	if !slices.Equal(got, sent) {
		r.t.Errorf("sent:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(sent, "\n  "))
	}
}

// wantState says how a letter stands: its state, and the reason if there is one.
func (r *rig) wantState(id, want string) *outbox.View {
	r.t.Helper()
	view, err := r.outbox.Letter(context.Background(), id)
	if err != nil {
		r.t.Fatalf("letter %s: %v", id, err)
	}
	if got := strings.TrimSpace(view.State + " " + view.Reason); got != want {
		r.t.Errorf("letter %s is %s, want %s", id, got, want)
	}
	return view
}

func (r *rig) body(id string) string {
	r.t.Helper()
	answer, err := r.outbox.Response(context.Background(), id)
	if err != nil {
		r.t.Fatalf("answer to %s: %v", id, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatalf("answer to %s: %v", id, err)
	}
	return fmt.Sprintf("%d %s", answer.Status, body)
}

func answer(verdict outbox.Verdict, status int, body string) outbox.Outcome {
	return outbox.Outcome{Verdict: verdict, Response: &http.Response{
		StatusCode: status, Header: http.Header{"X-Answer": {"yes"}}, Body: io.NopCloser(strings.NewReader(body)),
	}}
}

func good(*outbox.Sending, int) outbox.Outcome { return answer(outbox.Delivered, 200, "done") }

// failing fails the first sendings of a letter, with 503.
func failing(times int) func(*outbox.Sending, int) outbox.Outcome {
	return func(s *outbox.Sending, n int) outbox.Outcome {
		if n <= times {
			return answer(outbox.Later, 503, "down")
		}
		return good(s, n)
	}
}

var errAway = errors.New("the engine is away")
