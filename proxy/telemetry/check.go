package telemetry

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
)

// exporterNames are what OTEL_<signal>_EXPORTER can name, and what is said of anything else.
var exporterNames = map[string]struct {
	known []string
	must  string
}{
	"TRACES":  {[]string{"otlp", "console", "none"}, "must be otlp, console or none"},
	"METRICS": {[]string{"otlp", "prometheus", "console", "none"}, "must be otlp, prometheus, console or none"},
	"LOGS":    {[]string{"otlp", "none"}, "must be otlp or none; the log is on standard error in any case"},
}

// Check says everything for which New would refuse the settings or the OTEL_* variables. It
// makes nothing, and connects to nothing.
func Check(s Settings) error {
	var errs []error
	if s.Sample < 0 || s.Sample > 1 {
		errs = append(errs, fmt.Errorf("telemetry.sample = %v: must be from 0 to 1", s.Sample))
	}
	_, badLog := newLogHandler(s, io.Discard)
	_, badSampling := newSampling(s, true)
	errs = append(errs, badLog, badSampling)
	if exporters("LOGS") == nil && s.ExportLogs && s.Endpoint == "" && !endpointFromEnv("LOGS") {
		errs = append(errs, errors.New("telemetry.logs = true: needs telemetry.endpoint, or OTEL_EXPORTER_OTLP_ENDPOINT"))
	}
	var told []string // the signals have variables in common
	for _, signal := range []string{"TRACES", "METRICS", "LOGS"} {
		for _, err := range checkSignal(s, signal) {
			if !slices.Contains(told, err.Error()) {
				told, errs = append(told, err.Error()), append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// checkSignal says what is wrong with how a signal is exported. What no exporter asks for is
// not looked at.
func checkSignal(s Settings, signal string) (errs []error) {
	names := exportersOf(s, signal)
	for _, name := range names {
		if !slices.Contains(exporterNames[signal].known, name) {
			errs = append(errs, fmt.Errorf("OTEL_%s_EXPORTER=%s: %s", signal, name, exporterNames[signal].must))
		}
	}
	if !slices.Contains(names, "otlp") {
		return errs
	}
	from, protocol := otlpVariable(signal, "PROTOCOL")
	if protocol != "" && !slices.Contains([]string{"grpc", "http/protobuf", "http/json"}, protocol) {
		errs = append(errs, fmt.Errorf("%s=%s: must be grpc, http/protobuf or http/json", from, protocol))
	}
	return append(errs, checkEndpoint(s, signal, protocol)...)
}

// checkEndpoint says what is wrong with where a signal goes. The exporters would write a
// line of their own about an endpoint that is no URL, or none, and send everything to where
// nobody is.
func checkEndpoint(s Settings, signal, protocol string) []error {
	from, endpoint := otlpVariable(signal, "ENDPOINT")
	ofVariable := endpoint != ""
	if !ofVariable {
		from, endpoint = "telemetry.endpoint", s.Endpoint
	}
	if endpoint == "" {
		return nil // the standard one, of this machine
	}
	u, err := url.Parse(endpoint)
	if ofVariable && protocol == "grpc" && err == nil {
		return nil // it may be a name of gRPC's own, such as collector:4317 or dns://1.1.1.1/collector:4317
	}
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" && !ofVariable {
		// Without the value: it may have a password in it.
		return []error{fmt.Errorf(`%s: must be a URL like "http://127.0.0.1:4318"`, from)}
	}
	return nil
}
