package results_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"outrider/policy/policytest"
	"outrider/policy/results"
)

var paths = [][]string{{"data"}, nil}

// counted is what is told of an answer that is read to its end, or to how much of it.
func counted(t *testing.T, method string, step policytest.Step, read int64) (told []bool, body string) {
	t.Helper()
	rt := results.Wrap(paths, func(_ *http.Request, empty bool) { told = append(told, empty) })(policytest.NewUpstream(t, step))
	resp, err := rt.RoundTrip(policytest.NewRequest(t, method, "https://api.test/", ""))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, read))
	if err != nil && step.BodyErr == nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return told, string(b)
}

func step(kind, body string) policytest.Step {
	return policytest.Step{Header: http.Header{"Content-Type": {kind}}, Body: body}
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

const all = 1 << 20

func TestAnswersAreCountedOnceAndPassedOn(t *testing.T) {
	long := `{"pad":"` + strings.Repeat("x", 20<<10) + `","data":[]}`
	packed := step("application/json", zipped(`{"data":[]}`))
	packed.Header.Set("Content-Encoding", "gzip")
	packedLong := step("application/json", zipped(`{"data":[`+strings.Repeat(`{"a":1},`, 100_000)+`{}]}`))
	packedLong.Header.Set("Content-Encoding", "gzip")
	brotli := step("application/json", `{"data":[]}`)
	brotli.Header.Set("Content-Encoding", "br")
	missing := step("application/json", `{"data":[]}`)
	missing.Status = 404
	broken := step("application/json", `{"more":1,`)
	broken.BodyErr = io.ErrUnexpectedEOF
	for name, test := range map[string]struct {
		method string
		step   policytest.Step
		read   int64
		want   string // "": nothing was told
	}{
		"empty":                             {"GET", step("application/json", `{"data":[]}`), all, "empty"},
		"something":                         {"GET", step("application/problem+json; charset=utf-8", `{"data":[1]}`), all, "some"},
		"the body itself":                   {"GET", step("application/json", `[]`), all, "empty"},
		"by gzip":                           {"GET", packed, all, "empty"},
		"long, by gzip":                     {"GET", packedLong, all, "some"},
		"closed before the end":             {"GET", step("application/json", `{"data":[]}`), 10, "empty"},
		"closed before it shows":            {"GET", step("application/json", `{"data":[]}`), 3, ""},
		"later than is looked":              {"GET", step("application/json", long), all, ""},
		"no list":                           {"GET", step("application/json", `{"ok":true}`), all, ""},
		"no JSON":                           {"GET", step("text/html", `[]`), all, ""},
		"in another coding":                 {"GET", brotli, all, ""},
		"another status":                    {"GET", missing, all, ""},
		"another method":                    {"POST", step("application/json", `[]`), all, ""},
		"broken off before there is a list": {"GET", broken, all, ""},
	} {
		told, body := counted(t, test.method, test.step, test.read)
		if test.read == all && body != test.step.Body {
			t.Errorf("%s: the reader got %d bytes of %d", name, len(body), len(test.step.Body))
		}
		var got []string
		for _, empty := range told {
			got = append(got, map[bool]string{true: "empty", false: "some"}[empty])
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: told %v, want %q", name, got, test.want)
		}
	}
}
