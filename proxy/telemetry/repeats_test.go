package telemetry_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

func TestTroubleThatRepeatsIsCountedAndToldOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{})
		log := r.Logger()
		lines := func(text string) int { return strings.Count(r.log.String(), `"msg":"`+text+`"`) }
		for range 25 {
			log.Error("it broke", "upstream", "crm")
			time.Sleep(time.Second)
		}
		log.Error("it broke", "upstream", "github")
		log.Info("it broke", "upstream", "crm")
		log.With("upstream", "crm").Error("it broke")
		if n := lines("it broke"); n != 12 {
			t.Errorf("%d lines, want ten of one upstream, one of the other, and what is no trouble", n)
		}
		time.Sleep(35*time.Second - 1)
		if lines("more lines of this kind were left out") != 0 {
			t.Error("what was left out is told before the minute is over")
		}
		time.Sleep(2)
		if want := `"level":"ERROR","msg":"more lines of this kind were left out","line":"it broke","of":"crm","left_out":16}`; strings.Count(r.log.String(), want) != 1 {
			t.Errorf("log:\n%s\nwant once\n%s", r.log, want)
		}
		log.Error("it broke", "upstream", "crm")
		if n := lines("it broke"); n != 13 {
			t.Errorf("%d lines: a new minute begins anew", n)
		}
	})
}

// Alerts have the same text, and each is another one; and each line of a call is there.
func TestWhatIsNotTheSameTroubleIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{AccessLog: true})
		for i := range 50 {
			r.Logger().Warn("alert", "rule", "credential-dead", "subject", fmt.Sprint("tenant", i))
			r.Observe(context.Background(), policy.Event{Kind: policy.EventCircuit, Upstream: "crm", Key: fmt.Sprint("host", i), To: "open"})
			_, span, _ := r.begin("GET", "crm")
			span.End(&telemetry.Outcome{Status: 503, Problem: "circuit-open"})
		}
		r.Flush()
		time.Sleep(100 * time.Millisecond) // for which the line of a call may wait
		synctest.Wait()
		for _, text := range []string{"alert", "circuit changed", "call"} {
			if n := strings.Count(r.log.String(), `"msg":"`+text+`"`); n != 50 {
				t.Errorf("%d lines of 50: %s", n, text)
			}
		}
	})
}

func TestWhatWasLeftOutIsToldAtTheEnd(t *testing.T) {
	r := newRig(t, telemetry.Settings{})
	for range 11 {
		r.Logger().WithGroup("g").Warn("it broke")
	}
	r.Shutdown(context.Background())
	if !strings.Contains(r.log.String(), `"left_out":1`) {
		t.Errorf("log: %s", r.log)
	}
}

// However many kinds of trouble there are, no more are known than fit; those that do not
// are logged.
func TestTroublesThatAreKnownAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{})
		for i := range 1500 {
			for range 11 {
				r.Logger().Warn("it broke", "upstream", fmt.Sprint(i))
			}
		}
		if got, want := strings.Count(r.log.String(), "it broke"), 1024*10+476*11; got != want {
			t.Errorf("%d lines, want %d", got, want)
		}
		r.Shutdown(context.Background())
		if n := strings.Count(r.log.String(), `"left_out":1`); n != 1024 {
			t.Errorf("%d kinds were told of, want 1024", n)
		}
	})
}

func TestAccessLineSaysWhoAnswered(t *testing.T) {
	for _, c := range []struct {
		name     string
		attempts []int
		form     string
		end      telemetry.Outcome
		want     string
	}{
		{"an answer", []int{200}, "base-url", telemetry.Outcome{Status: 200}, "upstream"},
		{"a fault that was relayed", []int{503}, "base-url", telemetry.Outcome{Status: 503}, "upstream"},
		{"a problem of ours", nil, "base-url", telemetry.Outcome{Status: 503, Problem: "circuit-open"}, "outrider"},
		{"something else of ours", nil, "base-url", telemetry.Outcome{Status: 204}, "outrider"},
		{"a letter, when all attempts had failed", []int{503}, "base-url", telemetry.Outcome{Status: 202, Class: policy.ClassKept, Letter: "l", Own: true}, "outrider"},
		{"the answer to a letter, which was waited for", nil, "base-url", telemetry.Outcome{Status: 200, Class: policy.ClassKept, Letter: "l"}, "upstream"},
		{"nobody", []int{200}, "base-url", telemetry.Outcome{Status: 499, Class: policy.ClassClientGone}, ""},
		{"a tunnel", nil, "connect", telemetry.Outcome{Status: 200}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, telemetry.Settings{AccessLog: true})
			ctx, span := r.StartCall(outbound(context.Background(), "GET", "/x"), c.form)
			c.end.Call = &policy.Call{Upstream: "crm"}
			ctx = policy.WithCall(ctx, c.end.Call)
			for range c.attempts {
				send(t, policy.Passage(r.Transport(answers(c.attempts...))), outbound(ctx, "GET", "https://crm.test/"))
			}
			span.End(&c.end)
			if want := fmt.Sprintf(`"answered_by":%q`, c.want); !strings.Contains(r.log.String(), want) {
				t.Errorf("log %s\nwant %s", r.log, want)
			}
		})
	}
}
