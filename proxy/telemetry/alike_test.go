package telemetry

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"outrider/policy"
	"outrider/proxy/telemetry/spans"
)

// What is remembered of other spans is what this one would have said: held against an upstream
// of which nothing is remembered.
func TestSpanSaysItsOwnThoughOthersAreRemembered(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 4))
	pick := func(from ...string) string { return from[chance.IntN(len(from))] }
	encoded := func(write func(*spans.Fields)) spans.Common {
		var f spans.Fields
		f.Word(fieldProblem, "before") // what stood there is none of it
		begin := f.Size()
		write(&f)
		return f.Since(begin)
	}
	var calls alike[callFacts]
	var wires alike[wireFacts]
	for range 5000 {
		call := callFacts{
			method: pick("GET", "POST"), form: pick("base-url", "forward", "intercepted"), host: pick("a.test", "b.test:8080", ""),
			upstream: pick("crm", "erp"), rule: pick("", "r"), class: policy.Class(pick("success", "fault")),
			status: chance.IntN(4) * 101, attempts: chance.IntN(3),
		}
		if got := encoded(func(f *spans.Fields) { calls.write(f, &call, call.sort()) }); got != encoded(call.write) {
			t.Fatalf("%+v: %q", call, got)
		}
		wire := wireFacts{
			method: pick("GET", "POST"), scheme: pick("http", "https"), authority: pick("a.test", "[::1]:8443"), upstream: pick("crm", ""),
			rule: pick("", "r"), remote: pick("", "192.0.2.1:443", "[2001:db8::1]:443"), protocol: pick("HTTP/1.1", "HTTP/2.0"),
			status: chance.IntN(4) * 101, counted: chance.IntN(2) == 0, reused: chance.IntN(2) == 0,
		}
		if got := encoded(func(f *spans.Fields) { wires.write(f, &wire, wire.sort()) }); got != encoded(wire.write) {
			t.Fatalf("%+v: %q", wire, got)
		}
	}
}

// An upstream that is called by more names than are remembered costs a piece of memory now
// and then, and not for each call.
func TestSpansOfManyNamesAreSeldomRemembered(t *testing.T) {
	var calls alike[callFacts]
	last, stored := calls.latest[0].Load(), 0
	for i := range 800 {
		facts := callFacts{method: "GET", host: string(rune('a' + i)), status: 201}
		var f spans.Fields
		calls.write(&f, &facts, facts.sort())
		if now := calls.latest[facts.sort()%fewAlike].Load(); now != last {
			last = now
			stored++
		}
	}
	if stored < 50 || stored > 102 {
		t.Errorf("%d of 800 were remembered", stored)
	}
}

// What is remembered is no part of a request, which would be remembered with it: all of its
// head, with what is secret there.
func TestNothingOfARequestIsRemembered(t *testing.T) {
	head := strings.Clone("QUERY https://api.test/ HTTP/1.1 192.0.2.1:443")
	within := func(part string) bool {
		begin, at := uintptr(unsafe.Pointer(unsafe.StringData(head))), uintptr(unsafe.Pointer(unsafe.StringData(part)))
		return part != "" && at >= begin && at < begin+uintptr(len(head))
	}
	verb, scheme, host, protocol, remote := head[:5], head[6:11], head[14:22], head[24:32], head[33:]
	if !within(verb) || !within(remote) {
		t.Fatal("the test does not see what is within the head")
	}
	call := callFacts{method: method(verb), host: host}.kept()
	wire := wireFacts{method: method(verb), scheme: requestScheme(scheme), authority: host, protocol: protocol, remote: remote}.kept()
	for _, kept := range []string{call.method, call.host, wire.method, wire.scheme, wire.authority, wire.protocol, wire.remote} {
		if within(kept) {
			t.Errorf("%q is of the head", kept)
		}
	}
	if call.host != host || wire.remote != remote || wire.scheme != scheme || wire.method != verb {
		t.Errorf("%+v, %+v", call, wire)
	}
}
