package proxy

import (
	"net/http"
	"reflect"
	"testing"
	"time"
)

func TestPreferIsReadAndTakenOffAsRFC7240HasIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		header []string
		want   preference
		left   []string
	}{
		{"nothing is preferred", nil, preference{}, nil},
		{"an answer later", []string{"respond-async"}, preference{async: true}, nil},
		{"in any case, with a wait", []string{"Respond-Async, WAIT=10"}, preference{true, 10 * time.Second}, nil},
		{"with white space and quotes", []string{` respond-async ,, wait = "10"`}, preference{true, 10 * time.Second}, nil},
		{"a wait alone", []string{"wait=3"}, preference{wait: 3 * time.Second}, nil},
		{"the first counts", []string{"wait=3, wait=20"}, preference{wait: 3 * time.Second}, nil},
		{"a wait that is none", []string{"respond-async, wait=soon, wait=3"}, preference{async: true}, nil},
		{"a wait beyond ours", []string{"wait=86400"}, preference{wait: longestWait}, nil},
		{"a wait that overflows", []string{"wait=99999999999999999999"}, preference{}, nil},
		{"another stays", []string{"return=representation, respond-async"}, preference{async: true}, []string{"return=representation"}},
		{"lines of others stay as they are", []string{"handling=lenient ,return=minimal", "respond-async"}, preference{async: true}, []string{"handling=lenient ,return=minimal"}},
		{"in quotes it is text", []string{`note="a, respond-async"`}, preference{}, []string{`note="a, respond-async"`}},
		{"with a parameter", []string{"respond-async; strict"}, preference{async: true}, nil},
	} {
		header := http.Header{"Prefer": c.header}
		if got := preferenceOf(header); got != c.want {
			t.Errorf("%s: %q is read as %+v, want %+v", c.name, c.header, got, c.want)
		}
		header = withoutPreference(header)
		if got := header["Prefer"]; !reflect.DeepEqual(got, c.left) {
			t.Errorf("%s: of %q stays %q, want %q", c.name, c.header, got, c.left)
		}
	}
}

// What is taken off says nothing to us any more, whatever it was.
func FuzzPrefer(f *testing.F) {
	f.Add("respond-async, wait=10")
	f.Add(`a="\",wait=1", wait="3";x`)
	f.Fuzz(func(t *testing.T, line string) {
		header := http.Header{"Prefer": {line}}
		if p := preferenceOf(header); p.wait < 0 || p.wait > longestWait {
			t.Errorf("%q: wait %s", line, p.wait)
		}
		header = withoutPreference(header)
		if p := preferenceOf(header); p != (preference{}) {
			t.Errorf("%q: left is %q, which says %+v", line, header["Prefer"], p)
		}
	})
}
