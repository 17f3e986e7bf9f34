package policy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type someKey struct{}

// nested gives a call's scope in a context, and that of an attempt in it, with a value
// between them as stages have it.
func nested(ctx context.Context) (whole, part *scope) {
	whole = &scope{Context: ctx}
	return whole, &scope{Context: context.WithValue(whole, someKey{}, "value")}
}

func wantCause(t *testing.T, ctx context.Context, want error) {
	t.Helper()
	if got := context.Cause(ctx); got != want {
		t.Errorf("the context ended with %v, want %v", got, want)
	}
}

func TestScopeEndsWithTheClockThatEndedIt(t *testing.T) {
	ended := &TimeoutError{Clock: "timeout", Limit: time.Second}
	whole, part := nested(t.Context())
	if whole.Err() != nil || part.Err() != nil {
		t.Fatal("a scope has ended before its end")
	}
	done := part.Done()
	whole.end(ended)
	for _, ctx := range []context.Context{whole, part} {
		<-ctx.Done()
		wantCause(t, ctx, ended)
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("%v is no context.DeadlineExceeded", ctx.Err())
		}
	}
	<-done
}

func TestPartEndsByItself(t *testing.T) {
	whole, part := nested(t.Context())
	part.Done()
	part.end(nil)
	<-part.Done()
	wantCause(t, part, context.Canceled)
	if whole.Err() != nil {
		t.Errorf("the whole ended with its part: %v", whole.Err())
	}
	if len(whole.waits.Load().heirs) != 0 {
		t.Error("the whole still knows a part that has ended")
	}
}

// The first end is the one that counts, also where nobody had waited for it, and so nobody
// had heard of it.
func TestScopeKeepsItsFirstEnd(t *testing.T) {
	late := &TimeoutError{Clock: "timeout", Limit: time.Second}
	for _, waited := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			client, leave := context.WithCancel(t.Context())
			_, left := nested(client)
			_, ended := nested(client)
			if waited {
				left.Done()
				ended.Done()
			}
			ended.end(late)
			leave()
			left.end(late)
			wantCause(t, left, context.Canceled)
			wantCause(t, ended, late)
		})
	}
}

func TestScopeEndsWithAContextBetweenItAndItsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := errors.New("lost")
		whole := &scope{Context: t.Context()}
		flight, lose := context.WithCancelCause(whole)
		part := &scope{Context: flight}
		part.Done()
		lose(lost)
		<-part.Done()
		wantCause(t, part, lost)
		if whole.Err() != nil {
			t.Errorf("the whole ended with it: %v", whole.Err())
		}
	})
}

// A context that package context makes of a scope has no goroutine to watch it, as it has
// of contexts that package context knows nothing of.
func TestContextMadeOfAScopeEndsWithItWithoutAGoroutine(t *testing.T) {
	_, part := nested(t.Context())
	before := runtime.NumGoroutine()
	derived, cancel := context.WithCancel(part)
	defer cancel()
	if now := runtime.NumGoroutine(); now > before {
		t.Errorf("%d goroutines, and %d before", now, before)
	}
	ended := errors.New("ended")
	part.end(ended)
	<-derived.Done()
	wantCause(t, derived, ended)
}

func TestFunctionsRunAtTheEndUnlessTheyAreStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole, part := nested(t.Context())
		ran := make(chan string, 9)
		stopped := context.AfterFunc(part, func() { ran <- "stopped" })
		runs := part.AfterFunc(func() { ran <- "runs" })
		if !stopped() || stopped() {
			t.Error("a function was not stopped once")
		}
		whole.end(nil)
		synctest.Wait()
		if got := <-ran; got != "runs" || len(ran) != 0 {
			t.Errorf("%q ran, and %d others", got, len(ran))
		}
		if runs() {
			t.Error("what has run was stopped")
		}
		if part.AfterFunc(func() { ran <- "late" })() {
			t.Error("what runs at once was stopped")
		}
		if got := <-ran; got != "late" {
			t.Errorf("%q ran", got)
		}
	})
}

func TestScopesMayBeUsedFromManyGoroutines(t *testing.T) {
	client, leave := context.WithCancel(t.Context())
	whole, part := nested(client)
	var busy sync.WaitGroup
	for i := range 8 {
		busy.Go(func() {
			stop := part.AfterFunc(func() {})
			_ = part.Err()
			if i%2 == 0 {
				stop()
			}
			<-part.Done()
			wantCause(t, part, context.Canceled)
		})
	}
	busy.Go(leave)
	busy.Go(func() { whole.end(nil) })
	busy.Go(func() { part.end(nil) })
	busy.Wait()
}

// An end that finds nobody waiting takes no lock. Who begins to wait at that moment hears of it
// all the same, and once.
func TestEndIsHeardByWhoJustBeginsToWait(t *testing.T) {
	for range 1000 {
		whole, part := nested(t.Context())
		var all sync.WaitGroup
		var told atomic.Int32
		all.Add(1)
		all.Go(func() { whole.end(nil) })
		all.Go(func() { <-part.Done() })
		all.Go(func() { part.AfterFunc(func() { told.Add(1); all.Done() }) })
		all.Go(func() { part.end(nil); <-whole.Done() })
		all.Wait()
		if told.Load() != 1 {
			t.Fatalf("a function ran %d times at the end", told.Load())
		}
	}
}

// A transport that does not know the methods of an attempt's context finds the hooks of
// package httptrace, and those of who listens above.
func TestTransportReportsByHooksToo(t *testing.T) {
	var above int
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteHeaders: func() { above++ }})
	var told informed
	call := &Call{Informer: &told}
	req := (&http.Request{Header: http.Header{}}).WithContext(WithCall(ctx, call))
	whole, req := bound(req, time.Minute, newClocks())
	defer whole.over()
	attempt, _ := begin(req, time.Minute, time.Minute)
	defer attempt.over()

	hooks := httptrace.ContextClientTrace(context.WithValue(attempt, someKey{}, "value"))
	hooks.GotConn(httptrace.GotConnInfo{Reused: true})
	hooks.WroteHeaders()
	if err := hooks.Got1xxResponse(103, nil); err != nil {
		t.Fatal(err)
	}
	a := AttemptFrom(attempt)
	if !a.Reused() || a.Number() != 1 || call.Attempts() != 1 || told != 103 || above != 1 {
		t.Errorf("reused %v, number %d of %d, informed of %d, told %d times above",
			a.Reused(), a.Number(), call.Attempts(), told, above)
	}
}

// informed is the status that a client was informed of last.
type informed int

func (i *informed) Inform(code int, _ textproto.MIMEHeader) error {
	*i = informed(code)
	return nil
}

// Whether the body had begun to come is said of the last answer. Of two requests at a time
// nobody knows whose is the last.
func TestCallKnowsWhetherTheBodyCameWithItsHead(t *testing.T) {
	call := new(Call)
	var cameWith bool
	stage := attempt(time.Minute, time.Minute, false, nil).Wrap(roundTripper(func(req *http.Request) (*http.Response, error) {
		if cameWith {
			req.Context().(interface{ GotBody() }).GotBody()
		}
		return &http.Response{Body: http.NoBody}, nil
	}))
	whole, req := bound((&http.Request{Header: http.Header{}}).WithContext(WithCall(t.Context(), call)), time.Minute, newClocks())
	defer whole.over()
	for _, cameWith = range []bool{true, false, true} {
		resp, err := stage.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := call.GotBody(); got != cameWith {
			t.Errorf("the call says %v, want %v", got, cameWith)
		}
	}
	call.raced.Store(true)
	if call.GotBody() {
		t.Error("a call that was sent twice at a time knows which answer is the last")
	}
}
