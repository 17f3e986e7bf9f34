package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/proxy/outbox"
)

func TestLetterIsSentAtOnceAndItsAnswerKept(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, _ int) outbox.Outcome {
			body, _ := s.Body()
			text, err := io.ReadAll(body)
			if err != nil || string(text) != "body of a" || s.Target != "/v1/charges?expand=1" || s.Attempt != 1 || s.Priority != "low" {
				t.Errorf("sent %q, %v, of %+v", text, err, s)
			}
			return answer(outbox.Delivered, 201, "made")
		}
		receipt := r.keep("a")
		if receipt != (outbox.Receipt{ID: "a", RetryAfter: time.Second}) {
			t.Errorf("receipt %+v", receipt)
		}
		r.after(0)
		r.want("a at 0s")
		view := r.wantState("a", "delivered")
		if got := r.body("a"); got != "201 made" {
			t.Errorf("answer %s", got)
		}
		if len(view.History) != 1 || view.History[0].Status != 201 || view.History[0].Number != 1 || view.History[0].Wire != 1 {
			t.Errorf("history %+v", view.History)
		}
		if told := r.told(outbox.Accepted, outbox.Delivery); !slices.Equal(told, []string{"accepted a", "delivered a"}) {
			t.Errorf("told %q", told)
		}
	})
}

func TestFailedLetterBacksOff(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = failing(10)
		r.keep("a", keyed)
		r.after(time.Hour)
		r.want("a at 0s", "a at 2.5s", "a at 7.5s", "a at 17.5s", "a at 37.5s", "a at 1m17.5s", "a at 2m37.5s",
			"a at 5m17.5s", "a at 10m17.5s", "a at 15m17.5s", "a at 20m17.5s")
		if view := r.wantState("a", "delivered"); len(view.History) != 11 {
			t.Errorf("%d attempts are told of", len(view.History))
		}
	})
}

func TestLetterIsNeverSentBeforeTheHint(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			if n == 1 {
				out := answer(outbox.Later, 429, "")
				out.After, out.NothingDone = 3*time.Hour, true
				return out
			}
			return good(s, n)
		}
		r.keep("a")
		r.after(4 * time.Hour)
		r.want("a at 0s", "a at 3h0m0s")
	})
}

func TestLetterThatFailsHasItsLastAnswerMeanwhile(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = failing(1)
		r.keep("a", keyed)
		r.after(time.Second)
		r.wantState("a", "waiting")
		if got := r.body("a"); got != "503 down" {
			t.Errorf("answer %s", got)
		}
	})
}

// A million letters must not be asked one by one whether the circuit is open.
func TestRefusalPausesTheLaneAndIsNoAttempt(t *testing.T) {
	inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) { l.Concurrency = 2 }, func(r *rig) {
		asked := map[string]int{}
		open := time.Now().Add(time.Minute)
		r.outbox = outbox.New(func() outbox.Settings {
			s := r.settings()
			s.Send = func(ctx context.Context, l *outbox.Sending) outbox.Outcome {
				r.mu.Lock()
				asked[l.ID]++
				r.mu.Unlock()
				if wait := time.Until(open); wait > 0 && l.Upstream == "crm" {
					return outbox.Outcome{Verdict: outbox.NotSent, After: wait, Err: errors.New("the circuit is open")}
				}
				return r.send(ctx, l)
			}
			return s
		}(), outbox.Limits{MaxAge: 24 * time.Hour, Attempts: 1, Concurrency: 2, MaxBody: 1000, KeepResults: time.Hour})
		r.close()
		r.run()
		for i := range 20 {
			r.keep(fmt.Sprintf("l%02d", i))
		}
		r.keep("other", to("erp", ""))
		r.after(59 * time.Second)
		r.want("other at 0s")
		r.mu.Lock()
		if len(asked) > 5 {
			t.Errorf("%d letters were asked for while the lane paused", len(asked)-1)
		}
		r.mu.Unlock()
		r.after(2 * time.Second)
		r.mu.Lock()
		n := len(r.sent)
		r.mu.Unlock()
		if n != 21 {
			t.Errorf("%d letters were sent, want all 21, though one attempt is all they have", n)
		}
	})
}

// After a pause one letter tries the way alone.
func TestLaneIsTriedWithOneLetter(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		var asked []string
		closed := true
		s := r.settings()
		s.Send = func(ctx context.Context, l *outbox.Sending) outbox.Outcome {
			r.mu.Lock()
			asked = append(asked, time.Since(r.begin).String())
			refuse := closed
			r.mu.Unlock()
			if refuse {
				return outbox.Outcome{Verdict: outbox.NotSent, After: 10 * time.Second}
			}
			return r.send(ctx, l)
		}
		r.close()
		r.outbox = outbox.New(s, limits())
		for i := range 5 {
			r.keep(fmt.Sprint("l", i))
		}
		r.run()
		r.after(25 * time.Second)
		r.mu.Lock()
		if want := []string{"0s", "0s", "0s", "0s", "0s", "10s", "20s"}; !slices.Equal(asked, want) {
			t.Errorf("asked at %v, want %v", asked, want)
		}
		closed = false
		r.mu.Unlock()
		r.after(10 * time.Second)
		if n := len(r.sent); n != 5 {
			t.Errorf("%d were sent, want 5", n)
		}
	})
}

func TestRefusalWithoutHintBacksOff(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		var asked []string
		s := r.settings()
		s.Send = func(context.Context, *outbox.Sending) outbox.Outcome {
			asked = append(asked, time.Since(r.begin).String())
			return outbox.Outcome{Verdict: outbox.NotSent}
		}
		r.close()
		r.outbox = outbox.New(s, limits())
		r.keep("a")
		r.run()
		r.after(20 * time.Second)
		if want := []string{"0s", "2.5s", "7.5s", "17.5s"}; !slices.Equal(asked, want) {
			t.Errorf("asked at %v, want %v", asked, want)
		}
		r.wantState("a", "waiting")
	})
}

func TestDeadLetters(t *testing.T) {
	for name, test := range map[string]struct {
		out  outbox.Outcome
		want string
	}{
		"permanent answer": {answer(outbox.Dead, 422, "no"), "dead refused"},
		"redirection":      {outbox.Outcome{Verdict: outbox.Dead, Reason: outbox.ReasonRedirected}, "dead redirected"},
		"unknown outcome":  {outbox.Outcome{Verdict: outbox.Unknown, Err: errors.New("reset")}, "dead unknown"},
		// Whoever sends says that it may be sent again, and it may not.
		"unsafe letter that was sent": {outbox.Outcome{Verdict: outbox.Later, Err: errors.New("reset")}, "dead unknown"},
		"nothing to send":             {outbox.Outcome{Verdict: outbox.Dead, Reason: outbox.ReasonUnsendable}, "dead unsendable"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				r.answer = func(*outbox.Sending, int) outbox.Outcome { return test.out }
				r.keep("a")
				r.after(time.Hour)
				r.want("a at 0s")
				if view := r.wantState("a", test.want); view.Detail == "" {
					t.Error("nothing says why")
				}
			})
		})
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) { l.Attempts = 3 }, func(r *rig) {
		r.answer = failing(100)
		r.keep("a", keyed)
		r.after(time.Hour)
		r.want("a at 0s", "a at 2.5s", "a at 7.5s")
		r.wantState("a", "dead attempts")
		if got := r.body("a"); got != "503 down" {
			t.Errorf("answer %s", got)
		}
	})
}

func TestOldLetterIsDeadWhereverItStands(t *testing.T) {
	inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) { l.MaxAge = time.Hour }, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			out := answer(outbox.Later, 503, "down")
			out.After = 2 * time.Hour
			return out
		}
		r.keep("first", keyed, ordered("k"))
		r.keep("behind", keyed, ordered("k"))
		r.after(59 * time.Minute)
		r.wantState("behind", "waiting")
		r.after(time.Minute + time.Second)
		r.wantState("first", "dead age")
		r.wantState("behind", "dead age")
		r.want("first at 0s")
		if got := r.body("first"); got != "503 down" {
			t.Errorf("answer %s", got)
		}
	})
}

// The sender dies after a letter has left. Nobody knows what came of it.
func TestUnsafeLetterThatLeftIsNotSentAgainAfterACrash(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		block := make(chan struct{})
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome { <-block; return good(s, n) }
		r.keep("unsafe")
		r.keep("keyed", keyed)
		r.keep("vouched", func(l *outbox.Letter) { l.Idempotent = true })
		r.after(time.Second)
		r.want("keyed at 0s", "unsafe at 0s", "vouched at 0s")
		second := &rig{t: t, store: r.store, begin: r.begin, times: map[string]int{}, answer: good}
		keys := map[string]string{}
		second.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			second.mu.Lock()
			keys[s.ID] = s.Key
			second.mu.Unlock()
			return good(s, n)
		}
		r.stop() // the first does not find out that it is dead
		r.store.Kill()
		second.outbox = outbox.New(second.settings(), limits())
		second.run()
		second.after(time.Second)
		second.wantState("unsafe", "dead unknown")
		second.wantState("keyed", "delivered")
		second.wantState("vouched", "delivered")
		if keys["keyed"] != "keyed" || len(keys) != 2 {
			t.Errorf("sent again with %v", keys)
		}
		close(block)
		second.close()
		r.after(0)
		if told := r.told(outbox.Overtaken); len(told) != 3 {
			t.Errorf("the first was told %q", told)
		}
	})
}

func TestLetterWithoutEffectIsSentAgainThoughItIsUnsafe(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			if n < 3 {
				return outbox.Outcome{Verdict: outbox.Later, NothingDone: true, Err: errors.New("connection refused")}
			}
			return good(s, n)
		}
		r.keep("a")
		r.after(time.Second)
		if view := r.wantState("a", "waiting"); !view.Departed.IsZero() {
			t.Error("it is said to have left")
		}
		r.after(time.Minute)
		r.want("a at 0s", "a at 2.5s", "a at 7.5s")
		r.wantState("a", "delivered")
	})
}

func TestKeyThatMayBeForgottenIsNotUsedAgain(t *testing.T) {
	keyAge := func(s *outbox.Settings, _ *outbox.Limits) {
		s.KeyAge = func(*outbox.Letter) time.Duration { return time.Hour }
	}
	inBubble(t, keyAge, func(r *rig) {
		r.answer = func(*outbox.Sending, int) outbox.Outcome {
			out := answer(outbox.Later, 503, "down")
			out.After = 40 * time.Minute
			return out
		}
		r.keep("keyed", keyed)
		r.keep("put", keyed, func(l *outbox.Letter) { l.Method, l.Idempotent = "PUT", true })
		r.after(81 * time.Minute)
		r.want("keyed at 0s", "put at 0s", "keyed at 40m0s", "put at 40m0s", "put at 1h20m0s")
		view := r.wantState("keyed", "dead key-age")
		if want := "first used at " + r.begin.UTC().Format(time.RFC3339); !strings.Contains(view.Detail, want) {
			t.Errorf("detail %q, want that it was %s", view.Detail, want)
		}
	})
}

// The first request of a sending went out, and its second one was refused by ourselves: what is
// known of the first must not be forgotten.
func TestRefusalAfterARequestForgetsNothing(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, _ int) outbox.Outcome {
			return outbox.Outcome{Verdict: outbox.NotSent, Err: errors.New("the circuit is open"), After: time.Minute}
		}
		r.keep("keyed", keyed)
		r.keep("unsafe", to("crm", "another lane"))
		r.after(time.Second)
		if view := r.wantState("keyed", "waiting"); !view.Departed.Equal(r.begin) {
			t.Errorf("it left at %v", view.Departed)
		}
		r.wantState("unsafe", "dead unknown")
	})
}

// A call that was rescued has used its key before it became a letter.
func TestRescuedLetterKnowsWhenItsKeyWasUsed(t *testing.T) {
	keyAge := func(s *outbox.Settings, _ *outbox.Limits) {
		s.KeyAge = func(*outbox.Letter) time.Duration { return time.Hour }
	}
	inBubble(t, keyAge, func(r *rig) {
		l := &outbox.Letter{ID: "a", Upstream: "crm", Method: "POST", Key: "own", KeyHeader: "Idempotency-Key"}
		r.answer = failing(10)
		how := outbox.KeepOptions{Departed: time.Now().Add(-50 * time.Minute), Delay: 5 * time.Minute}
		receipt, err := r.outbox.Keep(context.Background(), l, nil, how)
		if err != nil || receipt.RetryAfter != 5*time.Minute+time.Second {
			t.Fatalf("%+v, %v", receipt, err)
		}
		r.after(time.Hour)
		r.want("a at 5m0s", "a at 5m2.5s", "a at 5m7.5s", "a at 5m17.5s", "a at 5m37.5s", "a at 6m17.5s", "a at 7m37.5s")
		r.wantState("a", "dead key-age")
	})
}

func TestOrderIsKept(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			if s.ID == "a1" && n == 1 {
				return answer(outbox.Later, 503, "")
			}
			time.Sleep(time.Second)
			return good(s, n)
		}
		for _, id := range []string{"a1", "a2", "a3"} {
			r.keep(id, keyed, ordered("a"))
		}
		r.keep("b1", keyed, ordered("b"))
		r.after(time.Minute)
		r.want("a1 at 0s", "b1 at 0s", "a1 at 2.5s", "a2 at 3.5s", "a3 at 4.5s")
	})
}

func TestDeadLetterHoldsItsOrderKeyUnlessSkipped(t *testing.T) {
	for _, skip := range []bool{false, true} {
		inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) { l.SkipDead = skip }, func(r *rig) {
			r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
				if s.ID == "a1" && n == 1 {
					return answer(outbox.Dead, 422, "")
				}
				return good(s, n)
			}
			r.keep("a1", ordered("a"))
			r.keep("a2", ordered("a"))
			r.after(time.Minute)
			if skip {
				r.want("a1 at 0s", "a2 at 0s")
				return
			}
			r.want("a1 at 0s")
			if n, err := r.outbox.Retry(context.Background(), outbox.Filter{IDs: []string{"a1"}}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			r.after(time.Minute)
			r.want("a1 at 0s", "a1 at 1m0s", "a2 at 1m0s")
		})
	}
}

func TestConcurrencyAndMemoryAreBounded(t *testing.T) {
	inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) { l.Concurrency = 4 }, func(r *rig) {
		now, most := 0, 0
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			r.mu.Lock()
			now++
			most = max(most, now)
			r.mu.Unlock()
			time.Sleep(time.Second)
			r.mu.Lock()
			now--
			r.mu.Unlock()
			return good(s, n)
		}
		for i := range 40 {
			r.keep(fmt.Sprintf("l%02d", i))
		}
		r.after(time.Millisecond)
		held, _, err := r.outbox.List(context.Background(), outbox.Filter{State: outbox.StateSending}, "", 500)
		if err != nil || len(held) > 8 {
			t.Errorf("%d letters are claimed, %v; want at most 8", len(held), err)
		}
		r.after(10 * time.Second)
		if most != 4 || len(r.sent) != 40 {
			t.Errorf("%d at once, %d in all; want 4 at once, and 40 in 10 s", most, len(r.sent))
		}
	})
}

// A customer with many letters does not hold up the one letter of another.
func TestLanesTakeTurns(t *testing.T) {
	inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) { l.Concurrency = 2 }, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome { time.Sleep(time.Second); return good(s, n) }
		r.close()
		for i := range 50 {
			r.keep(fmt.Sprintf("big%02d", i), to("crm", "big"))
		}
		r.keep("small", to("crm", "small"))
		r.run()
		r.after(2 * time.Second)
		r.wantState("small", "delivered")
	})
}

func TestTwoSendersSendEachLetterOnce(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		second := outbox.New(r.settings(), limits())
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { second.Run(ctx); close(ended) }()
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome { time.Sleep(time.Second); return good(s, n) }
		for i := range 200 {
			r.keep(fmt.Sprintf("l%03d", i))
		}
		r.after(time.Minute)
		stop()
		<-ended
		for id, n := range r.times {
			if n != 1 {
				t.Errorf("%s was sent %d times", id, n)
			}
		}
		if len(r.times) != 200 {
			t.Errorf("%d letters were sent", len(r.times))
		}
	})
}

func TestOtherProcessesServeTheirUpstreams(t *testing.T) {
	serve := func(s *outbox.Settings, _ *outbox.Limits) {
		s.Serves = func(upstream string) bool { return upstream == "crm" }
	}
	inBubble(t, serve, func(r *rig) {
		r.keep("ours")
		r.keep("theirs", to("erp", ""))
		r.after(time.Minute)
		r.want("ours at 0s")
		r.wantState("theirs", "waiting")
	})
}

func TestDamagedLetterIsSetApart(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.close()
		r.keep("head")
		r.keep("body", keyed)
		r.keep("fine")
		r.store.Damage("head")
		r.store.Flip("body")
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			body, err := s.Body()
			if err == nil {
				_, err = io.ReadAll(body)
			}
			if err != nil {
				return outbox.Outcome{Verdict: outbox.Later, Err: fmt.Errorf("sending: %w", err)}
			}
			return good(s, n)
		}
		r.run()
		r.after(time.Minute)
		r.wantState("head", "dead damaged")
		r.wantState("body", "dead damaged")
		r.wantState("fine", "delivered")
		if n, err := r.outbox.Retry(context.Background(), outbox.Filter{Reason: outbox.ReasonDamaged}); n != 0 || err != nil {
			t.Errorf("%d damaged letters wait again, %v", n, err)
		}
	})
}

func TestWholeAnswerIsKeptHoweverLong(t *testing.T) {
	inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) { l.MaxBody = 3 << 20 }, func(r *rig) {
		long := strings.Repeat("0123456789abcdef", 1<<17) // 2 MiB
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			switch s.ID {
			case "long":
				return answer(outbox.Delivered, 200, long)
			case "exact":
				return answer(outbox.Delivered, 200, long[:1<<20])
			case "toolong":
				return answer(outbox.Delivered, 200, long+long)
			}
			out := answer(outbox.Delivered, 200, "")
			out.Response.Body = io.NopCloser(io.MultiReader(strings.NewReader(long), breaking{}))
			return out
		}
		for _, id := range []string{"long", "exact", "toolong", "breaks"} {
			r.keep(id)
		}
		r.after(time.Second)
		read := func(id string) (int, error) {
			answer, err := r.outbox.Response(context.Background(), id)
			if err != nil {
				return 0, err
			}
			body, err := io.ReadAll(answer.Body)
			if !strings.HasPrefix(long+long, string(body)) {
				t.Errorf("%s: another body", id)
			}
			return len(body), err
		}
		for id, want := range map[string]struct {
			n   int
			err error
		}{"long": {2 << 20, nil}, "exact": {1 << 20, nil}, "toolong": {3 << 20, io.ErrUnexpectedEOF}, "breaks": {2 << 20, io.ErrUnexpectedEOF}} {
			r.wantState(id, "delivered")
			if n, err := read(id); n != want.n || err != want.err {
				t.Errorf("%s: %d bytes, %v; want %d, %v", id, n, err, want.n, want.err)
			}
		}
	})
}

type breaking struct{}

func (breaking) Read([]byte) (int, error) { return 0, errors.New("reset") }

// Nothing of what is shown, told or sent to others has what only the upstream is to see.
func TestNothingConfidentialIsShown(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(*outbox.Sending, int) outbox.Outcome { return answer(outbox.Dead, 400, "canary") }
		r.keep("a", func(l *outbox.Letter) {
			l.Target, l.Header, l.Key, l.KeyHeader = "/v1?token=canary", http.Header{"X-Secret": {"canary"}}, "canary", "Idempotency-Key"
			l.DedupKey, l.Caller = "canary", "canary"
		})
		r.after(time.Second)
		view := r.wantState("a", "dead refused")
		if text := fmt.Sprintf("%+v %+v", *view, r.events); strings.Contains(text, "canary") {
			t.Error(text)
		}
	})
}
