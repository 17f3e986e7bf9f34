package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Labels of our metrics. Their values come from the configuration or are words
// of our own, never anything that a caller chose; nor a provider, but for the codes of its
// answers, of which there are at most 500, and the names of its buckets: see bucketLabels.
const (
	labelUpstream   = attribute.Key("upstream")
	labelClass      = attribute.Key("status_class")
	labelReason     = attribute.Key("reason")
	labelProblem    = attribute.Key("problem")
	labelFrom       = attribute.Key("from")
	labelTo         = attribute.Key("to")
	labelResult     = attribute.Key("result")
	labelState      = attribute.Key("state")
	labelCredential = attribute.Key("credential")
	labelRule       = attribute.Key("rule")
	labelSignal     = attribute.Key("signal")
	labelVersion    = attribute.Key("version")
	labelGoVersion  = attribute.Key("go_version")
)

// noUpstream is the label of calls that belong to no upstream.
const noUpstream = "none"

// maxSeries bounds the label combinations of one instrument; what comes later
// is counted together.
const maxSeries = 5000

func upstreamLabel(name string) attribute.KeyValue {
	if name == "" {
		name = noUpstream
	}
	return labelUpstream.String(name)
}

// words are the values of up to three labels.
type words [3]string

// wordsOf makes labels of words: the first is the value of the first key.
func wordsOf(keys ...attribute.Key) func(words) []attribute.KeyValue {
	return func(values words) []attribute.KeyValue {
		attrs := make([]attribute.KeyValue, len(keys))
		for i, key := range keys {
			attrs[i] = key.String(values[i])
			if key == labelUpstream {
				attrs[i] = upstreamLabel(values[i])
			}
		}
		return attrs
	}
}

// httpLabels are what the labels of a call, and of a request on the wire, are made of:
// those that the semantic conventions for HTTP ask for and that have a bound.
// https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
//
// server.address and server.port are not among them: a wildcard upstream has as many as it
// has customers. The name of the upstream stands for both.
type httpLabels struct {
	method   string // see the function method
	scheme   string // url.scheme: http or https
	upstream string
	status   int    // 0: there was no answer
	class    string // of the status, or classLost
	kind     string // error.type: a status, a problem, or as errorKind has it; "": it went well
}

func (l httpLabels) attributes() []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(l.method), semconv.URLScheme(l.scheme),
		upstreamLabel(l.upstream), labelClass.String(l.class),
	}
	if 100 <= l.status && l.status <= 599 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(l.status))
	}
	if l.kind != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(l.kind))
	}
	return attrs
}
