package telemetry

import (
	"strconv"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"outrider/proxy/telemetry/spans"
)

// Names of the attributes that most calls, or their requests, have, ready to be sent.
var (
	fieldMethod       = spans.NewKey(semconv.HTTPRequestMethodKey)
	fieldStatus       = spans.NewKey(semconv.HTTPResponseStatusCodeKey)
	fieldRequestSize  = spans.NewKey(semconv.HTTPRequestBodySizeKey)
	fieldResponseSize = spans.NewKey(semconv.HTTPResponseBodySizeKey)
	fieldResendCount  = spans.NewKey(semconv.HTTPRequestResendCountKey)
	fieldScheme       = spans.NewKey(semconv.URLSchemeKey)
	fieldPath         = spans.NewKey(semconv.URLPathKey)
	fieldURL          = spans.NewKey(semconv.URLFullKey)
	fieldServer       = spans.NewKey(semconv.ServerAddressKey)
	fieldServerPort   = spans.NewKey(semconv.ServerPortKey)
	fieldPeer         = spans.NewKey(semconv.NetworkPeerAddressKey)
	fieldPeerPort     = spans.NewKey(semconv.NetworkPeerPortKey)
	fieldProtocol     = spans.NewKey(semconv.NetworkProtocolVersionKey)
	fieldError        = spans.NewKey(semconv.ErrorTypeKey)
	fieldUpstream     = spans.NewKey(keyUpstream)
	fieldRule         = spans.NewKey(keyRule)
	fieldConnection   = spans.NewKey(keyConnection)
	fieldForm         = spans.NewKey(keyForm)
	fieldClass        = spans.NewKey(keyClass)
	fieldAttempts     = spans.NewKey(keyAttempts)
	fieldWait         = spans.NewKey(keyWait)
	fieldProblem      = spans.NewKey(keyProblem)
	fieldStale        = spans.NewKey(keyStale)
	fieldQuiet        = spans.NewKey(keyQuiet)
	fieldReused       = spans.NewKey(keyReused)
	fieldLost         = spans.NewKey(keyLost)
	fieldLetter       = spans.NewKey(keyLetter)
	fieldKept         = spans.NewKey(keyKept)
)

// describe puts the outcome on the SERVER span; asked is the method as the caller wrote it, and
// kind the error.type. The texts of a record are UTF-8 all.
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/
func (s *Span) describe(d *spans.Data, of *account, asked, kind string) {
	r, f := s.record, d.Fields()
	if r.Upstream != "" && s.letter == nil {
		d.SetName(of.name(spanMethod(asked)))
	}
	f.Word(fieldMethod, method(asked))
	f.Word(fieldScheme, scheme(r.Form))
	f.Word(fieldPath, r.Path)
	f.Word(fieldForm, r.Form)
	f.Number(fieldAttempts, int64(r.Attempts))
	f.Fraction(fieldWait, r.WaitedMS/1000)
	writeServer(f, r.Host, 0)
	writeWord(f, fieldUpstream, r.Upstream)
	writeWord(f, fieldRule, r.Rule)
	writeWord(f, fieldConnection, r.Connection)
	writeWord(f, fieldClass, string(r.Class))
	writeWord(f, fieldProblem, r.Problem)
	writeWord(f, fieldStale, r.Stale)
	writeWord(f, fieldQuiet, r.Quiet)
	writeWord(f, fieldLetter, r.Letter)
	writeNumber(f, fieldStatus, int64(r.Status))
	writeNumber(f, fieldRequestSize, r.RequestBytes)
	writeNumber(f, fieldResponseSize, r.ResponseBytes)
	if kind != "" {
		f.Text(fieldError, kind)
		d.SetStatus(codes.Error, r.Error)
	}
}

// describe puts request and answer on the CLIENT span, and what broke it off: an error of
// some kind, or that it lost. Without a status there was no answer.
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span
func (w *wire) describe(d *spans.Data, err error, kind string, lost bool) {
	f := d.Fields()
	f.Word(fieldMethod, method(w.req.Method))
	var room [256]byte
	f.TextBytes(fieldURL, appendURL(room[:0], w.req.URL))
	writeServer(f, w.req.URL.Host, defaultPort(w.req.URL.Scheme))
	if a := w.attempt; a != nil {
		f.Truth(fieldReused, a.Reused())
		writeNumber(f, fieldResendCount, int64(max(0, a.Number()-1)))
		if peer, port := splitPort(a.Remote()); peer != "" {
			f.Word(fieldPeer, peer)
			f.Number(fieldPeerPort, int64(port))
		}
	}
	if w.of != nil {
		f.Word(fieldUpstream, w.of.Upstream)
		writeWord(f, fieldRule, w.of.Rule)
	}
	if w.status != 0 {
		f.Number(fieldStatus, int64(w.status))
		f.Word(fieldProtocol, protocolVersion(w.protocol))
	}
	if lost {
		f.Truth(fieldLost, true)
	}
	if err != nil && !lost {
		f.Word(fieldError, kind)
		d.SetStatus(codes.Error, errorText(err))
	} else if w.status >= 400 {
		f.Word(fieldError, strconv.Itoa(w.status))
		d.SetStatus(codes.Error, "")
	}
}

// writeServer writes server.address and server.port of an authority; without a port that is
// the usual one, and 0 is none.
func writeServer(f *spans.Fields, authority string, usual int) {
	if authority == "" {
		return
	}
	host, port := splitPort(authority)
	if port == 0 {
		port = usual
	}
	f.Text(fieldServer, host)
	writeNumber(f, fieldServerPort, int64(port))
}

// writeWord writes a text, unless it is empty.
func writeWord(f *spans.Fields, key spans.Key, word string) {
	if word != "" {
		f.Word(key, word)
	}
}

// writeNumber writes a number, if it is more than zero.
func writeNumber(f *spans.Fields, key spans.Key, n int64) {
	if n > 0 {
		f.Number(key, n)
	}
}
