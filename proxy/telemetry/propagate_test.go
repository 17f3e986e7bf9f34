package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

const (
	callerTrace = "0af7651916cd43dd8448eb211c80319c"
	callerSpan  = "b7ad6b7169203331"
)

// exchange makes a call whose caller sends header, with attempts of these statuses, and
// gives what went out with each of them.
func (r *rig) exchange(t testing.TB, header http.Header, propagate bool, statuses ...int) (sent []http.Header) {
	t.Helper()
	in := httptest.NewRequest("GET", "/x", nil)
	in.Header = header
	ctx, span := r.StartCall(in, "base-url")
	ctx = policy.WithCall(ctx, &policy.Call{Upstream: "crm", Propagate: propagate})
	answer := answers(statuses...)
	next := r.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
		sent = append(sent, req.Header)
		return answer(req)
	}))
	for range statuses {
		out := outbound(ctx, "GET", "https://crm.test/")
		if propagate {
			out.Header = header
		}
		if err := send(t, next, out); err != nil {
			t.Fatal(err)
		}
	}
	span.End(&telemetry.Outcome{Method: "GET", Status: 200})
	return sent
}

func TestEachAttemptTellsTheUpstreamOfItsOwnSpan(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1})
	header := http.Header{
		"Traceparent": {"00-" + callerTrace + "-" + callerSpan + "-01"},
		"Tracestate":  {"vendor=1", "other=2"}, "Baggage": {"user=7;x , a=%20b"},
	}
	sent := r.exchange(t, header, true, 503, 200)
	attempts := r.kind(trace.SpanKindClient)
	for i, got := range sent {
		want := "00-" + callerTrace + "-" + attempts[i].SpanContext.SpanID().String() + "-01"
		if got.Get("Traceparent") != want || len(got["Traceparent"]) != 1 {
			t.Errorf("attempt %d went out with %q, want %q", i+1, got["Traceparent"], want)
		}
		if got.Get("Tracestate") != "vendor=1,other=2" || got.Get("Baggage") != "user=7;x , a=%20b" {
			t.Errorf("attempt %d went out with %q and %q", i+1, got["Tracestate"], got["Baggage"])
		}
	}
	if header.Get("Traceparent") != "00-"+callerTrace+"-"+callerSpan+"-01" {
		t.Error("the request was written to")
	}
}

func TestUpstreamIsToldWhetherTheTraceIsSampled(t *testing.T) {
	for _, c := range []struct {
		name   string
		sample float64
		caller string // "": there is none
		flags  string
	}{
		{"by us", 1, "", "01"},
		{"not by us", 0, "", "00"},
		{"by the caller", 0, "00-" + callerTrace + "-" + callerSpan + "-01", "01"},
		{"not by the caller", 1, "00-" + callerTrace + "-" + callerSpan + "-00", "00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, telemetry.Settings{Sample: c.sample})
			header := http.Header{}
			if c.caller != "" {
				header.Set("Traceparent", c.caller)
			}
			got := r.exchange(t, header, true, 200)[0].Get("Traceparent")
			if !strings.HasSuffix(got, "-"+c.flags) {
				t.Errorf("the upstream was told %q, want the flags %s", got, c.flags)
			}
		})
	}
}

// What is no trace context is as none: the call has a trace of its own, and the state
// that came along, which belongs to another one, goes nowhere.
func TestMalformedTraceparentIsIgnored(t *testing.T) {
	good := "00-" + callerTrace + "-" + callerSpan + "-01"
	for name, values := range map[string][]string{
		"garbage":       {"garbage"},
		"upper case":    {strings.ToUpper(good)},
		"zero trace":    {"00-" + strings.Repeat("0", 32) + "-" + callerSpan + "-01"},
		"zero span":     {"00-" + callerTrace + "-0000000000000000-01"},
		"version ff":    {"ff" + good[2:]},
		"too long":      {good + "-x"},
		"there twice":   {good, good},
		"empty":         {""},
		"state, no one": nil,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, telemetry.Settings{Sample: 1})
			header := http.Header{"Tracestate": {"vendor=1"}}
			if values != nil {
				header["Traceparent"] = values
			}
			sent := r.exchange(t, header, true, 200)[0]
			server := r.kind(trace.SpanKindServer)[0]
			if server.Parent.IsValid() || server.SpanContext.TraceID().String() == callerTrace {
				t.Errorf("the call continues %v", server.Parent)
			}
			if !strings.HasPrefix(sent.Get("Traceparent"), "00-"+server.SpanContext.TraceID().String()+"-") || sent["Tracestate"] != nil {
				t.Errorf("the upstream was told %q and %q", sent["Traceparent"], sent["Tracestate"])
			}
		})
	}
}

var traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]$`)

// Whatever comes in, what goes out is well-formed, and is of one trace.
func FuzzTraceContext(f *testing.F) {
	f.Add("00-"+callerTrace+"-"+callerSpan+"-01", "vendor=1,other=2")
	f.Add("01-"+callerTrace+"-"+callerSpan+"-ff-more", "a=b,,c=d")
	f.Add("01-"+callerTrace+"-"+callerSpan+"-f6", "a=b,,Y=d")
	f.Add("", "=,=")
	r := newRig(f, telemetry.Settings{Sample: 1})
	f.Fuzz(func(t *testing.T, parent, state string) {
		r.spans.Reset()
		sent := r.exchange(t, http.Header{"Traceparent": {parent}, "Tracestate": {state}}, true, 200)[0]
		got := sent.Get("Traceparent")
		servers := r.kind(trace.SpanKindServer)
		switch {
		case !traceparent.MatchString(got):
			t.Errorf("%q went out", got)
		case len(servers) == 0: // the caller has said that it records nothing
			if sampled := !strings.ContainsRune("02468ace", rune(got[len(got)-1])); sampled || got[3:35] != parent[3:35] {
				t.Errorf("%q went out after %q, of which nothing is recorded", got, parent)
			}
		case got[3:35] != servers[0].SpanContext.TraceID().String():
			t.Errorf("%q went out for the trace %s", got, servers[0].SpanContext.TraceID())
		}
		if _, err := trace.ParseTraceState(sent.Get("Tracestate")); err != nil {
			t.Errorf("tracestate %q went out: %v", sent.Get("Tracestate"), err)
		}
	})
}
