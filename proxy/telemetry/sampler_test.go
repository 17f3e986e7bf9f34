package telemetry_test

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"outrider/proxy/telemetry"
)

func TestSamplerOfTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		sampler, arg string
		caller       string // flags of its traceparent; "": it sends none
		sampled      bool
	}{
		{"always_on", "", "", true},
		{"always_on", "", "00", true},
		{"always_off", "", "01", false},
		{"traceidratio", "0", "01", false},
		{"traceidratio", "1", "00", true},
		{"parentbased_always_on", "", "", true},
		{"parentbased_always_on", "", "00", false},
		{"parentbased_always_off", "", "01", true},
		{"parentbased_always_off", "", "", false},
		{"parentbased_traceidratio", "", "", true},
		{" ParentBased_TraceIDRatio ", "0", "", false},
	} {
		t.Run(c.sampler+" "+c.arg+" "+c.caller, func(t *testing.T) {
			r := newRig(t, telemetry.Settings{Sample: 0.5}, "OTEL_TRACES_SAMPLER", c.sampler, "OTEL_TRACES_SAMPLER_ARG", c.arg)
			req := httptest.NewRequest("GET", "/x", nil)
			if c.caller != "" {
				req.Header.Set("Traceparent", "00-"+callerTrace+"-"+callerSpan+"-"+c.caller)
			}
			ctx, span := r.StartCall(req, "base-url")
			send(t, r.Transport(answers(200)), outbound(ctx, "GET", "https://crm.test/"))
			span.End(&telemetry.Outcome{Status: 200})
			if n := len(r.spans.GetSpans()); n != map[bool]int{true: 2, false: 0}[c.sampled] {
				t.Errorf("%d spans are there, of a call that is sampled: %v", n, c.sampled)
			}
		})
	}
}

func TestUnknownSamplerIsAnError(t *testing.T) {
	for want, env := range map[string][2]string{
		"OTEL_TRACES_SAMPLER=xray":     {"xray", ""},
		"OTEL_TRACES_SAMPLER_ARG=lots": {"traceidratio", "lots"},
		"OTEL_TRACES_SAMPLER_ARG=NaN":  {"parentbased_traceidratio", "NaN"},
		"OTEL_TRACES_SAMPLER_ARG=1.5":  {"parentbased_traceidratio", "1.5"},
	} {
		clearEnvironment(t)
		t.Setenv("OTEL_TRACES_SAMPLER", env[0])
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", env[1])
		_, err := telemetry.New(context.Background(), telemetry.Settings{LogOutput: io.Discard})
		if err == nil || !strings.Contains(err.Error(), want+": must be") {
			t.Errorf("%s: %v", want, err)
		}
	}
}
