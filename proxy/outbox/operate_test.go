package outbox_test

import (
	"bytes"
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

func TestDuplicateIsTheFirstLetter(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		same := func(l *outbox.Letter) { l.DedupKey = "k" }
		r.keep("a", same)
		if receipt := r.keep("b", same); receipt.ID != "a" || !receipt.Duplicate {
			t.Errorf("receipt %+v", receipt)
		}
		r.keep("c", same, to("crm", "acme")) // another customer's
		r.after(0)
		r.want("a at 0s", "c at 0s")
		r.after(24 * time.Hour)
		r.keep("d", same)
		r.after(0)
		r.want("a at 0s", "c at 0s", "d at 24h0m0s")
		if told := r.told(outbox.Accepted, outbox.Duplicate); !slices.Equal(told, []string{"accepted a", "duplicate a", "accepted c", "accepted d"}) {
			t.Errorf("told %q", told)
		}
	})
}

func TestKeyOfAnotherRequestIsAConflict(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		keep := func(target, body string) error {
			l := &outbox.Letter{Upstream: "crm", Method: "POST", Target: target, DedupKey: "key:1"}
			_, err := r.outbox.Keep(context.Background(), l, strings.NewReader(body), outbox.KeepOptions{Strict: true})
			return err
		}
		if err := keep("/a", "x"); err != nil {
			t.Fatal(err)
		}
		if err := keep("/a", "x"); err != nil {
			t.Errorf("the same again: %v", err)
		}
		var conflict *outbox.ConflictError
		if err := keep("/b", "x"); !errors.As(err, &conflict) {
			t.Errorf("another target: %v", err)
		}
		if err := keep("/a", "y"); !errors.As(err, &conflict) {
			t.Errorf("another body: %v", err)
		}
	})
}

func TestBoundsRefuse(t *testing.T) {
	inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) { l.MaxBody, l.MaxSize = 10, 2000 }, func(r *rig) {
		r.close()
		_, err := r.tryKeep("a-long-one")
		if !errors.Is(err, outbox.ErrTooLarge) {
			t.Errorf("error %v", err)
		}
		for i := range 10 {
			if _, err = r.tryKeep(fmt.Sprint(i)); err != nil {
				break
			}
		}
		if !errors.Is(err, outbox.ErrFull) {
			t.Errorf("error %v", err)
		}
		r.run()
	})
}

func TestBrokenUploadLeavesNothing(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		_, err := r.outbox.Keep(context.Background(), &outbox.Letter{Upstream: "crm", Method: "POST"}, breaking{}, outbox.KeepOptions{})
		if err == nil || !strings.Contains(err.Error(), "reset") {
			t.Errorf("error %v", err)
		}
		if all, _, _ := r.outbox.List(context.Background(), outbox.Filter{}, "", 10); len(all) != 0 {
			t.Errorf("kept %v", all)
		}
	})
}

func TestWaitEndsWithTheLetter(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = failing(1)
		r.keep("a", keyed)
		view, err := r.outbox.Wait(context.Background(), "a")
		if err != nil || view.State != outbox.StateDelivered || time.Since(r.begin) != 2500*time.Millisecond {
			t.Errorf("%+v, %v after %v", view, err, time.Since(r.begin))
		}
		if _, err := r.outbox.Wait(context.Background(), "none"); !errors.Is(err, outbox.ErrUnknown) {
			t.Errorf("error %v", err)
		}
	})
}

// Another process sends the letter, and tells nobody.
func TestWaitSeesTheEndElsewhere(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = failing(1)
		r.keep("a", keyed)
		other := outbox.New(r.settings(), limits())
		if _, err := other.Wait(context.Background(), "a"); err != nil || time.Since(r.begin) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(r.begin))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.answer = failing(100)
		r.keep("b", keyed)
		if _, err := r.outbox.Wait(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCancelledLetterIsNotSent(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		r.answer = failing(1)
		r.keep("a", keyed)
		r.after(time.Second)
		if err := r.outbox.Cancel(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		r.after(time.Hour)
		r.want("a at 0s")
		r.wantState("a", "cancelled")
		if err := r.outbox.Cancel(ctx, "a"); !errors.Is(err, outbox.ErrEnded) {
			t.Errorf("again: %v", err)
		}
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome { time.Sleep(time.Second); return good(s, n) }
		r.keep("b")
		r.after(0)
		if err := r.outbox.Cancel(ctx, "b"); !errors.Is(err, outbox.ErrHeld) {
			t.Errorf("while it is sent: %v", err)
		}
		if err := r.outbox.Cancel(ctx, "none"); !errors.Is(err, outbox.ErrUnknown) {
			t.Errorf("none: %v", err)
		}
	})
}

// An operator has looked: an unsafe letter of unknown outcome goes out again, and a keyed one
// keeps the age of its key.
func TestRetriedLettersKeepTheAgeOfTheirKeys(t *testing.T) {
	keyAge := func(s *outbox.Settings, l *outbox.Limits) {
		s.KeyAge = func(*outbox.Letter) time.Duration { return time.Hour }
		l.Attempts = 1
	}
	inBubble(t, keyAge, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			if n == 1 {
				return outbox.Outcome{Verdict: outbox.Later, Err: errors.New("reset")}
			}
			return good(s, n)
		}
		r.keep("unsafe")
		r.keep("young", keyed)
		r.keep("old", keyed)
		r.after(0)
		r.wantState("unsafe", "dead unknown")
		r.wantState("young", "dead attempts")
		ctx := context.Background()
		retry := func(f outbox.Filter, want int) {
			t.Helper()
			if n, err := r.outbox.Retry(ctx, f); n != want || err != nil {
				t.Errorf("%d wait again, %v; want %d", n, err, want)
			}
		}
		r.after(59 * time.Minute)
		retry(outbox.Filter{IDs: []string{"young", "unsafe"}}, 2)
		r.after(2 * time.Minute)
		retry(outbox.Filter{Upstream: "crm"}, 1)
		r.after(time.Second)
		r.wantState("old", "dead key-age")
		retry(outbox.Filter{Reason: outbox.ReasonKeyAge}, 1)
		r.after(time.Second)
		r.want("old at 0s", "unsafe at 0s", "young at 0s", "unsafe at 59m0s", "young at 59m0s", "old at 1h1m1s")
		retry(outbox.Filter{}, 0)
	})
}

func TestEditedLetterIsSentWithAnotherKey(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		var keys, bodies []string
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			body, _ := s.Body()
			text, err := io.ReadAll(body)
			if err != nil {
				t.Error(err)
			}
			keys, bodies = append(keys, s.Key), append(bodies, s.Target+" "+string(text)+" "+s.Header.Get("X"))
			if n < 3 {
				return answer(outbox.Dead, 422, "no")
			}
			return good(s, n)
		}
		r.keep("a", keyed)
		r.after(0)
		ctx := context.Background()
		target := "/v2"
		if err := r.outbox.Edit(ctx, "a", outbox.Change{Target: &target, Body: strings.NewReader("new")}); err != nil {
			t.Fatal(err)
		}
		r.after(0)
		if err := r.outbox.Edit(ctx, "a", outbox.Change{Header: http.Header{"X": {"y"}}, Key: &target}); err != nil {
			t.Fatal(err)
		}
		r.after(0)
		if want := []string{"/v1/charges?expand=1 body of a ", "/v2 new ", "/v2 new y"}; !slices.Equal(bodies, want) {
			t.Errorf("sent %q", bodies)
		}
		if keys[0] != "a" || keys[1] == "a" || keys[1] == "" || keys[2] != "/v2" {
			t.Errorf("keys %q", keys)
		}
		if err := r.outbox.Edit(ctx, "a", outbox.Change{}); !errors.Is(err, outbox.ErrEnded) {
			t.Errorf("a letter that was delivered: %v", err)
		}
	})
}

// Whether it may be sent twice is a matter of the new method, whatever the first one was.
func TestLetterWhoseMethodIsChangedIsAsSafeAsThat(t *testing.T) {
	idempotent := func(s *outbox.Settings, _ *outbox.Limits) {
		s.Idempotent = func(method string) bool { return method == "PUT" }
	}
	inBubble(t, idempotent, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			if n == 1 {
				return answer(outbox.Dead, 405, "no")
			}
			return failing(100)(s, n)
		}
		r.keep("safe")
		r.keep("unsafe", func(l *outbox.Letter) { l.Idempotent = true })
		r.after(0)
		for id, method := range map[string]string{"safe": "PUT", "unsafe": "PATCH"} {
			if err := r.outbox.Edit(context.Background(), id, outbox.Change{Method: &method}); err != nil {
				t.Fatal(err)
			}
		}
		r.after(time.Second)
		r.wantState("safe", "waiting")
		r.wantState("unsafe", "dead unknown")
	})
}

func TestDropForgets(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(*outbox.Sending, int) outbox.Outcome { return answer(outbox.Dead, 422, "no") }
		r.keep("a")
		r.keep("b", to("erp", ""))
		r.after(0)
		if n, err := r.outbox.Drop(context.Background(), outbox.Filter{Upstream: "erp"}); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := r.outbox.Letter(context.Background(), "b"); !errors.Is(err, outbox.ErrUnknown) {
			t.Errorf("error %v", err)
		}
		r.wantState("a", "dead refused")
	})
}

func TestDrainWaitsUntilNothingWaits(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			out := failing(1)(s, n)
			out.After = time.Hour
			return out
		}
		r.keep("a", keyed)
		r.after(time.Minute)
		if err := r.outbox.Drain(context.Background(), outbox.Filter{}); err != nil {
			t.Fatal(err)
		}
		r.want("a at 0s", "a at 1m0s")
	})
}

func TestResultsAreForgotten(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.keep("a")
		r.after(24*time.Hour - time.Minute)
		r.wantState("a", "delivered")
		r.after(2 * time.Minute)
		if _, err := r.outbox.Response(context.Background(), "a"); !errors.Is(err, outbox.ErrUnknown) {
			t.Errorf("error %v", err)
		}
	})
}

// Letters that came in one by one said how long a backlog takes: after an import of ten
// thousand that was nine hours, of which a few minutes were true, and so it was after an outage.
func TestPaceOfABacklogIsThatOfABacklog(t *testing.T) {
	inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) { l.Concurrency = 2 }, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			time.Sleep(time.Second)
			return good(s, n)
		}
		eta := func() float64 {
			t.Helper()
			s, err := r.outbox.Standing(context.Background())
			if err != nil || len(s.Upstreams) != 1 {
				t.Fatalf("%+v, %v", s, err)
			}
			return s.Upstreams[0].ETA
		}
		for i := range 3 {
			r.keep(fmt.Sprintf("single%d", i))
			r.after(20 * time.Second)
		}
		for i := range 60 {
			r.keep(fmt.Sprintf("many%02d", i))
		}
		if got := eta(); got != 0 {
			t.Errorf("of a backlog that has just come it says %v seconds", got)
		}
		r.after(10*time.Second + time.Millisecond)
		if got := eta(); got != 20 {
			t.Errorf("of 40 letters, two a second, it says %v seconds", got)
		}
	})
}

func TestStandingTellsPaceAndEnd(t *testing.T) {
	inBubble(t, func(_ *outbox.Settings, l *outbox.Limits) { l.Concurrency = 1 }, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			if s.Upstream == "erp" {
				return answer(outbox.Dead, 400, "")
			}
			time.Sleep(time.Second)
			return good(s, n)
		}
		r.keep("dead", to("erp", ""))
		for i := range 60 {
			r.keep(fmt.Sprintf("l%02d", i))
		}
		r.after(30*time.Second - time.Millisecond)
		s, err := r.outbox.Standing(context.Background())
		if err != nil || len(s.Upstreams) != 2 {
			t.Fatalf("%+v, %v", s, err)
		}
		crm, erp := s.Upstreams[0], s.Upstreams[1]
		if crm.Waiting != 31 || crm.Delivered != 29 || crm.Sending != 1 || crm.PerMinute != 58 || crm.ETA != 32 || !crm.Oldest.Equal(r.begin) {
			t.Errorf("crm: %+v", crm)
		}
		if erp.Dead != 1 || erp.Reasons["refused"] != 1 {
			t.Errorf("erp: %+v", erp)
		}
		if receipt := r.keep("late"); receipt.RetryAfter != 32*time.Second {
			t.Errorf("it is said to take %v", receipt.RetryAfter)
		}
	})
}

func TestListIsFilteredAndPaged(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			if s.ID > "l5" {
				return answer(outbox.Dead, 400, "")
			}
			return good(s, n)
		}
		for i := range 10 {
			r.keep(fmt.Sprint("l", i))
		}
		r.after(0)
		var pages [][]string
		for after := ""; ; {
			views, next, err := r.outbox.List(context.Background(), outbox.Filter{State: outbox.StateDead, Newest: true}, after, 3)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, v := range views {
				ids = append(ids, v.ID)
			}
			pages = append(pages, ids)
			if after = next; next == "" {
				break
			}
		}
		if got := fmt.Sprint(pages); got != "[[l9 l8 l7] [l6]]" {
			t.Errorf("pages %s", got)
		}
	})
}

// address is a Settings.Address that knows one upstream.
func address(line *outbox.Line) (*outbox.Letter, error) {
	if line.Upstream != "crm" {
		return nil, fmt.Errorf("no upstream %q", line.Upstream)
	}
	return &outbox.Letter{Upstream: line.Upstream, Connection: line.Connection, Method: line.Method, Target: line.Path, Header: line.Header, KeyHeader: "Idempotency-Key"}, nil
}

func TestImportIsAllOrNothingAndOnce(t *testing.T) {
	importing := func(s *outbox.Settings, _ *outbox.Limits) { s.Address = address }
	inBubble(t, importing, func(r *rig) {
		var bodies []string
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			body, _ := s.Body()
			text, _ := io.ReadAll(body)
			r.mu.Lock()
			bodies = append(bodies, fmt.Sprintf("%s %s %s %s", s.Method, s.Target, s.Header.Get("Content-Type"), text))
			r.mu.Unlock()
			return good(s, n)
		}
		ctx := context.Background()
		file := `{"upstream":"crm","path":"/a","json":{"n": 1}}

{"upstream":"crm","path":"/a","body":"two","order_key":"k","headers":{"content-type":"text/x"}}
{"upstream":"crm","path":"/a","body_base64":"dGhyZWU=","method":"PUT","order_key":"k","headers":{"X":["1","2"]}}
{"upstream":"crm","path":"/a","body":"same"}
{"upstream":"crm","path":"/a","body":"same"}
{"upstream":"crm","path":"/a","body":"first","dedup_key":"d"}
{"upstream":"crm","path":"/a","body":"second","dedup_key":"d"}
`
		wrong := file + "{\"upstream\":\"erp\",\"path\":\"/\"}\nnonsense\n{\"upstream\":\"crm\",\"path\":\"/\",\"boddy\":1}\n"
		_, err := r.outbox.Import(ctx, strings.NewReader(wrong), nil)
		var importError *outbox.ImportError
		if !errors.As(err, &importError) || len(importError.Lines) != 3 || importError.Lines[0].Number != 9 || importError.Lines[2].Number != 11 {
			t.Fatalf("error %v", err)
		}
		r.after(0)
		r.want()
		read := 0
		got, err := r.outbox.Import(ctx, strings.NewReader(file), func(lines int) { read = lines })
		if err != nil || got != (outbox.Imported{Letters: 6, Duplicates: 1}) || read != 8 {
			t.Fatalf("%+v, %v, %d lines", got, err, read)
		}
		r.after(0)
		slices.Sort(bodies)
		want := []string{"POST /a  first", "POST /a  same", "POST /a  same", `POST /a application/json {"n": 1}`, "POST /a text/x two", "PUT /a  three"}
		if !slices.Equal(bodies, want) {
			t.Errorf("sent\n%s", strings.Join(bodies, "\n"))
		}
		again, err := r.outbox.Import(ctx, strings.NewReader(file), nil)
		if err != nil || again != (outbox.Imported{Duplicates: 7}) {
			t.Errorf("again: %+v, %v", again, err)
		}
		r.after(time.Minute)
		if len(bodies) != 6 {
			t.Errorf("%d were sent", len(bodies))
		}
	})
}

func TestImportThatBreaksOffKeepsNothing(t *testing.T) {
	importing := func(s *outbox.Settings, _ *outbox.Limits) { s.Address = address }
	inBubble(t, importing, func(r *rig) {
		file := io.MultiReader(strings.NewReader(`{"upstream":"crm","path":"/a"}`+"\n"), breaking{})
		if _, err := r.outbox.Import(context.Background(), file, nil); err == nil {
			t.Error("no error")
		}
		r.after(time.Minute)
		r.want()
		got, err := r.outbox.Import(context.Background(), strings.NewReader(`{"upstream":"crm","path":"/a"}`), nil)
		if got.Letters != 1 || err != nil {
			t.Errorf("again: %+v, %v", got, err)
		}
	})
}

func TestImportKeepsTheOrderOfOrderKeys(t *testing.T) {
	importing := func(s *outbox.Settings, _ *outbox.Limits) { s.Address = address }
	inBubble(t, importing, func(r *rig) {
		var order []string
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome { order = append(order, s.Target); return good(s, n) }
		var file, want strings.Builder
		for i := range 200 {
			fmt.Fprintf(&file, `{"upstream":"crm","path":"/%d","order_key":"k"}`+"\n", i)
			fmt.Fprintf(&want, "/%d ", i)
		}
		if _, err := r.outbox.Import(context.Background(), strings.NewReader(file.String()), nil); err != nil {
			t.Fatal(err)
		}
		r.after(time.Minute)
		if got := strings.Join(order, " ") + " "; got != want.String() {
			t.Errorf("sent %s", got)
		}
	})
}

func TestExportHasTheAnswers(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.answer = func(s *outbox.Sending, n int) outbox.Outcome {
			switch s.ID {
			case "bytes":
				return answer(outbox.Delivered, 200, "\xff\x00")
			case "never":
				return outbox.Outcome{Verdict: outbox.Unknown, Err: errors.New("reset")}
			}
			return good(s, n)
		}
		r.keep("bytes")
		r.keep("never")
		r.keep("text")
		r.after(0)
		var out bytes.Buffer
		if err := r.outbox.Export(context.Background(), outbox.Filter{}, &out); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[0], `"body_base64":"/wA="`) || strings.Contains(lines[1], "response") ||
			!strings.HasSuffix(lines[2], `"response":{"status":200,"headers":{"X-Answer":["yes"]},"body":"done"}}`) {
			t.Errorf("exported\n%s", out.String())
		}
	})
}

// The store goes away when all lines are kept, and are to appear. What was kept so far stood in
// the way of the same import for a day, for it counts in the size of all.
func TestImportThatDoesNotAppearLeavesNothing(t *testing.T) {
	inBubble(t, func(s *outbox.Settings, _ *outbox.Limits) { s.Address = address }, func(r *rig) {
		w := &unreleased{r.store}
		s := r.settings()
		s.Address, s.Store = address, func(context.Context) (outbox.Store, error) { return w, nil }
		_, err := outbox.New(s, limits()).Import(context.Background(), strings.NewReader(`{"upstream":"crm","path":"/"}`), nil)
		if !errors.Is(err, errAway) {
			t.Errorf("error %v", err)
		}
		if size, err := r.store.Size(context.Background()); size != 0 || err != nil {
			t.Errorf("%d bytes are left, %v", size, err)
		}
	})
}

// An unreleased store lets no batch appear.
type unreleased struct{ outbox.Store }

// Release implements outbox.Store.
func (unreleased) Release(context.Context, string, int) (released, duplicates int, err error) {
	return 0, 0, errAway
}
