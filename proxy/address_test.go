package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"outrider/policy/policytest"
	"outrider/proxy"
	"outrider/proxy/outbox"
)

const imported = `
[upstream.crm]
url = "https://crm.test/base"
hosts = ["crm.test", "*.crm.example"]
auth = { type = "bearer", token = "env:TOKEN" }
outbox = "allow"
retry = { idempotency_header = "Idempotency-Key" }
[[upstream.crm.rule]]
match = "/base/private/**"
outbox = "never"
`

func TestLineBecomesTheLetterThatItsCallWouldBe(t *testing.T) {
	set := compile(t, imported, policytest.NewUpstream(t))
	byPath, err := proxy.Address(set, &outbox.Line{Method: "POST", Upstream: "crm", Path: "/orders?x=1+2", Connection: "acme", OrderKey: "o", DedupKey: "d", Header: http.Header{
		"content-type": {"application/json"}, "authorization": {"Bearer of the caller"}, "outrider-priority": {"high"}, "idempotency-key": {"k"},
		"connection": {"close"}, "outrider-idempotent": {"true"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if byPath.Upstream != "crm" || byPath.Host != "" || byPath.Target != "/base/orders?x=1+2" || byPath.Connection != "acme" || byPath.OrderKey != "o" || byPath.DedupKey == "" ||
		byPath.Priority != "high" || byPath.Key != "k" || byPath.KeyHeader != "Idempotency-Key" || !byPath.Idempotent {
		t.Errorf("by path: %+v", byPath)
	}
	if len(byPath.Header) != 1 || byPath.Header.Get("Content-Type") != "application/json" {
		t.Errorf("its header is %v", byPath.Header)
	}
	byURL, err := proxy.Address(set, &outbox.Line{Method: "PUT", URL: "https://eu.crm.example/base//a%2Fb?"})
	if err != nil {
		t.Fatal(err)
	}
	if byURL.Upstream != "crm" || byURL.Host != "eu.crm.example" || byURL.Target != "/base//a%2Fb?" || !byURL.Idempotent {
		t.Errorf("by url: %+v", byURL)
	}
}

func TestLinesThatCannotBeLetters(t *testing.T) {
	set := compile(t, imported, policytest.NewUpstream(t))
	for says, line := range map[string]outbox.Line{
		"method":                          {Upstream: "crm", Path: "/x"},
		`"TRACE"`:                         {Method: "TRACE", Upstream: "crm", Path: "/x"},
		"no [upstream.nobody]":            {Method: "POST", Upstream: "nobody", Path: "/x"},
		"path":                            {Method: "POST", Upstream: "crm", Path: "x"},
		`no [upstream] names the host`:    {Method: "POST", URL: "https://elsewhere.test/x"},
		"without a user name":             {Method: "POST", URL: "https://user:canary@crm.test/x"},
		"one of http or https":            {Method: "POST", URL: "/x"},
		`outbox is "never"`:               {Method: "POST", Upstream: "crm", Path: "/private/x"},
		"header \"a b\"":                  {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"a b": {"x"}}},
		"header X-A: its value":           {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"X-A": {"x\r\nHost: canary"}}},
		"header Host":                     {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"host": {"canary"}}},
		"Cookie holds a credential":       {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"Cookie": {"canary"}}},
		"access_token holds a":            {Method: "POST", Upstream: "crm", Path: "/x?access_token=canary"},
		"Outrider-Priority":               {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"Outrider-Priority": {"urgent"}}},
		`connection "a/b"`:                {Method: "POST", Upstream: "crm", Path: "/x", Connection: "a/b"},
		"Outrider-Order-Key: it is there": {Method: "POST", Upstream: "crm", Path: "/x", Header: http.Header{"Outrider-Order-Key": {"a", "b"}}},
	} {
		letter, err := proxy.Address(set, &line)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%+v: %+v, %v; want an error that says %s", line, letter, err, says)
		}
	}
}
