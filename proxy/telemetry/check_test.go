package telemetry_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"outrider/proxy/telemetry"
)

// `outrider check` called a configuration valid whose run ended at once over a variable of
// the environment. What Check says and what New says are one and the same.
func TestCheckSaysWhatNewRefuses(t *testing.T) {
	const form = `: must be a URL like "http://127.0.0.1:4318"`
	for name, c := range map[string]struct {
		env  map[string]string
		want string // "": nothing is wrong
	}{
		"a sampler": {map[string]string{"OTEL_TRACES_SAMPLER": "bogus"}, "OTEL_TRACES_SAMPLER=bogus: must be"},
		"an exporter of each signal": {map[string]string{"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_METRICS_EXPORTER": "otl", "OTEL_LOGS_EXPORTER": "console"},
			"OTEL_TRACES_EXPORTER=zipkin: must be otlp, console or none\nOTEL_METRICS_EXPORTER=otl: must be otlp, prometheus, console or none\nOTEL_LOGS_EXPORTER=console: must be otlp or none"},
		"a protocol of two signals": {map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/jsn", "OTEL_METRICS_EXPORTER": "otlp"},
			"OTEL_EXPORTER_OTLP_PROTOCOL=http/jsn: must be grpc, http/protobuf or http/json"},
		"a protocol of one signal": {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http: must be"},
		// These were taken, and every span was lost.
		"an endpoint without a scheme":  {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT" + form},
		"an endpoint that is none":      {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "canary"}, "OTEL_EXPORTER_OTLP_ENDPOINT" + form},
		"an endpoint of one signal":     {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "canary"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" + form},
		"a gRPC endpoint without a way": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_ENDPOINT" + form},

		"a name of gRPC's own":                  {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ""},
		"an endpoint of its own is a good one":  {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, ""},
		"an endpoint that nobody sends to":      {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "canary", "OTEL_TRACES_EXPORTER": "none"}, ""},
		"a protocol, while nothing is exported": {map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/jsn", "OTEL_SDK_DISABLED": "true"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			clearEnvironment(t)
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			s := telemetry.Settings{Endpoint: "http://127.0.0.1:1", LogOutput: io.Discard}
			err := telemetry.Check(s)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "canary")) {
				t.Errorf("it says %v, want %q", err, c.want)
			}
			made, refused := telemetry.New(context.Background(), s)
			if (refused == nil) != (err == nil) || err != nil && refused.Error() != err.Error() {
				t.Errorf("run is told %v", refused)
			}
			if made != nil {
				ended, end := context.WithCancel(context.Background())
				end()
				_ = made.Shutdown(ended)
			}
		})
	}
	if err := telemetry.Check(telemetry.Settings{Endpoint: "canary"}); err == nil || err.Error() != "telemetry.endpoint"+form {
		t.Errorf("of the configuration it says %v", err)
	}
}
