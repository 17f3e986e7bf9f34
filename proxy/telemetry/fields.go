package telemetry

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"outrider/policy"
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

// callFacts are what the SERVER spans of many calls have alike.
type callFacts struct {
	method, form, host, upstream, rule string
	class                              policy.Class
	status, attempts                   int
}

// sort tells the calls of a method and a status from others.
func (c *callFacts) sort() uint { return sortOf(c.method, c.status) }

// kept are the facts without the request that they are of.
func (c callFacts) kept() callFacts {
	c.host = strings.Clone(c.host)
	return c
}

func (c callFacts) write(f *spans.Fields) {
	f.Word(fieldMethod, c.method)
	f.Word(fieldScheme, scheme(c.form))
	f.Word(fieldForm, c.form)
	f.Number(fieldAttempts, int64(c.attempts))
	writeServer(f, c.host, 0)
	writeWord(f, fieldUpstream, c.upstream)
	writeWord(f, fieldRule, c.rule)
	writeWord(f, fieldClass, string(c.class))
	writeNumber(f, fieldStatus, int64(c.status))
}

// describe puts the outcome on the SERVER span; asked is the method as the caller wrote it, and
// kind the error.type. The texts of a record are UTF-8 all.
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/
func (s *Span) describe(d *spans.Data, of *account, asked, kind string) {
	r, f := s.record, d.Fields()
	if r.Upstream != "" && s.letter == nil {
		d.SetName(of.name(spanMethod(asked)))
	}
	facts := callFacts{
		method: method(asked), form: r.Form, host: r.Host, upstream: r.Upstream, rule: r.Rule,
		class: r.Class, status: r.Status, attempts: r.Attempts,
	}
	of.calls.write(f, &facts, facts.sort())
	f.Word(fieldPath, r.Path)
	f.Fraction(fieldWait, r.WaitedMS/1000)
	writeWord(f, fieldConnection, r.Connection)
	writeWord(f, fieldProblem, r.Problem)
	writeWord(f, fieldStale, r.Stale)
	writeWord(f, fieldQuiet, r.Quiet)
	writeWord(f, fieldLetter, r.Letter)
	writeNumber(f, fieldRequestSize, r.RequestBytes)
	writeNumber(f, fieldResponseSize, r.ResponseBytes)
	if kind != "" {
		f.Text(fieldError, kind)
		d.SetStatus(codes.Error, r.Error)
	}
}

// wireFacts are what the CLIENT spans of many requests have alike.
type wireFacts struct {
	method, scheme, authority string
	upstream, rule            string // "": of no call
	remote                    string // "": it is not known
	protocol                  string
	status                    int  // 0: there was no answer
	counted                   bool // it is an attempt: what else is known of its connection holds
	reused                    bool
}

// sort is as that of callFacts.
func (w *wireFacts) sort() uint { return sortOf(w.method, w.status) }

// kept is as that of callFacts.
func (w wireFacts) kept() wireFacts {
	w.authority, w.remote, w.protocol = strings.Clone(w.authority), strings.Clone(w.remote), strings.Clone(w.protocol)
	return w
}

func (w wireFacts) write(f *spans.Fields) {
	f.Word(fieldMethod, w.method)
	writeServer(f, w.authority, defaultPort(w.scheme))
	if w.counted {
		f.Truth(fieldReused, w.reused)
	}
	if peer, port := splitPort(w.remote); peer != "" {
		f.Word(fieldPeer, peer)
		f.Number(fieldPeerPort, int64(port))
	}
	writeWord(f, fieldUpstream, w.upstream)
	writeWord(f, fieldRule, w.rule)
	if w.status != 0 {
		f.Number(fieldStatus, int64(w.status))
		f.Word(fieldProtocol, protocolVersion(w.protocol))
	}
}

// facts are those of the request.
func (w *wire) facts() wireFacts {
	facts := wireFacts{
		method: method(w.req.Method), scheme: requestScheme(w.req.URL.Scheme), authority: w.req.URL.Host,
		status: w.status, protocol: w.protocol,
	}
	if a := w.attempt; a != nil {
		facts.counted, facts.reused, facts.remote = true, a.Reused(), a.Remote()
	}
	if w.of != nil {
		facts.upstream, facts.rule = w.of.Upstream, w.of.Rule
	}
	return facts
}

// describe puts request and answer on the CLIENT span, and what broke it off: an error of
// some kind, or that it lost. Without a status there was no answer.
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span
func (w *wire) describe(d *spans.Data, err error, kind string, lost bool) {
	f, facts := d.Fields(), w.facts()
	if w.account != nil {
		w.account.wires.write(f, &facts, facts.sort())
	} else {
		facts.write(f)
	}
	var room [256]byte
	f.TextBytes(fieldURL, appendURL(room[:0], w.req.URL))
	if w.attempt != nil {
		writeNumber(f, fieldResendCount, int64(max(0, w.attempt.Number()-1)))
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
