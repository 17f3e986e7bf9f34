package telemetry_test

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"

	"outrider/proxy/telemetry"
)

func TestLogArrivesAtACollectorWithItsTrace(t *testing.T) {
	for name, c := range map[string]struct {
		s    telemetry.Settings
		env  map[string]string
		want bool
	}{
		"by the settings":              {telemetry.Settings{ExportLogs: true}, nil, true},
		"by the environment":           {telemetry.Settings{}, map[string]string{"OTEL_LOGS_EXPORTER": "otlp"}, true},
		"by gRPC":                      {telemetry.Settings{ExportLogs: true}, map[string]string{"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"}, true},
		"not, unless asked":            {telemetry.Settings{}, nil, false},
		"not, where the variable wins": {telemetry.Settings{ExportLogs: true}, map[string]string{"OTEL_LOGS_EXPORTER": "none"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			collector, sink := newCollector(t), &grpcSink{}
			c.s.Endpoint, c.s.AccessLog, c.s.ServiceName = collector.URL, true, "mine"
			if c.env["OTEL_EXPORTER_OTLP_LOGS_PROTOCOL"] == "grpc" {
				c.env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] = sink.serve(t)
			}
			r := exporting(t, c.s, c.env)
			traceID := r.oneCall(t)
			r.Logger().With("upstream", "crm").Debug("not at this level")
			if err := r.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			records := append(collector.records(), sink.records()...)
			if !c.want {
				if len(records) != 0 {
					t.Errorf("arrived are %v", records)
				}
				return
			}
			if len(records) != 1 || records[0].Body.GetStringValue() != "call" || hex.EncodeToString(records[0].TraceId) != traceID || len(records[0].SpanId) == 0 {
				t.Fatalf("arrived are %v, want the line of %s", records, traceID)
			}
			if records[0].SeverityNumber != logspb.SeverityNumber_SEVERITY_NUMBER_INFO || find(records[0].Attributes, "attempts").GetIntValue() != 2 {
				t.Errorf("the line is %v", records[0])
			}
			if find(records[0].Attributes, "trace_id") != nil {
				t.Error("the trace is there twice")
			}
			if strings.Count(r.log.String(), traceID) != 1 {
				t.Errorf("standard error has %s", r.log)
			}
		})
	}
}

func TestWrongLogExportIsAnError(t *testing.T) {
	for want, c := range map[string]struct {
		s        telemetry.Settings
		exporter string
	}{
		"telemetry.logs = true: needs telemetry.endpoint": {telemetry.Settings{ExportLogs: true}, ""},
		"OTEL_LOGS_EXPORTER=console: must be":             {telemetry.Settings{}, "console"},
	} {
		clearEnvironment(t)
		t.Setenv("OTEL_LOGS_EXPORTER", c.exporter)
		c.s.LogOutput = io.Discard
		if _, err := telemetry.New(context.Background(), c.s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// What cannot be exported of the log is counted, is said on standard error, and nothing
// of that goes the same way again.
func TestLogThatCannotBeExportedIsCounted(t *testing.T) {
	requests := 0
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		w.WriteHeader(http.StatusForbidden)
	}))
	defer failing.Close()
	r := exporting(t, telemetry.Settings{ExportLogs: true}, map[string]string{
		"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": failing.URL, "OTEL_TRACES_EXPORTER": "none",
		"OTEL_BLRP_MAX_QUEUE_SIZE": "8", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "8", "OTEL_BLRP_SCHEDULE_DELAY": "3600000",
	})
	for range 20 {
		r.Logger().Info("line")
	}
	r.Shutdown(context.Background())
	lost := r.Losses()
	if i := slices.IndexFunc(lost, func(l telemetry.Loss) bool { return l.Signal == "logs" }); i < 0 || lost[i].Dropped != 20 {
		t.Errorf("lost are %+v, want 20 lines", lost)
	}
	if n := strings.Count(r.log.String(), `"signal":"logs"`); n != 1 || requests == 0 {
		t.Errorf("%d lines about the collector after %d requests", n, requests)
	}
}
