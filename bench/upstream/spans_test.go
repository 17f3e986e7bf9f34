package upstream

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// message puts a message into the field of that number.
func message(number protowire.Number, content ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), bytes.Join(content, nil))
}

// export is five spans: of two resources, one of which has two scopes.
func export() []byte {
	span := message(2, protowire.AppendFixed64(protowire.AppendTag(nil, 7, protowire.Fixed64Type), 1))
	about := message(1, []byte("a resource, or a scope"))
	return bytes.Join([][]byte{
		message(1, about, message(2, about, span, span), message(2, span)),
		message(1, about, message(2, about, span, span), message(3, []byte("a schema"))),
	}, nil)
}

func TestSpansAreCounted(t *testing.T) {
	if got, err := countSpans(export()); err != nil || got != 5 {
		t.Errorf("got %d, %v, want 5", got, err)
	}
	if got, err := countSpans(export()[:40]); err == nil {
		t.Errorf("what is cut off has %d spans", got)
	}
}

func FuzzCountSpans(f *testing.F) {
	f.Add(export())
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = countSpans(data) })
}

func TestCollectorTellsExportersApart(t *testing.T) {
	spans := &Spans{count: map[string]int64{}}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write(export()); err != nil {
		t.Fatal(err)
	}
	zip.Close()
	post := func(path, encoding string, body []byte) int {
		req := httptest.NewRequest("POST", path, bytes.NewReader(body))
		req.Header.Set("Content-Encoding", encoding)
		answer := httptest.NewRecorder()
		spans.ServeHTTP(answer, req)
		return answer.Code
	}
	for _, test := range []struct {
		path, encoding string
		body           []byte
		want           int
	}{
		{"/one/v1/traces", "", export(), http.StatusOK},
		{"/one/v1/traces", "gzip", packed.Bytes(), http.StatusOK},
		{"/two/v1/traces", "", export(), http.StatusOK},
		{"/two/v1/metrics", "", export(), http.StatusOK},
		{"/two/v1/traces", "", export()[:40], http.StatusBadRequest},
		{"/two/v1/traces", "gzip", export(), http.StatusBadRequest},
	} {
		if got := post(test.path, test.encoding, test.body); got != test.want {
			t.Errorf("%s, %q: %d, want %d", test.path, test.encoding, got, test.want)
		}
	}
	if one, two := spans.Count("one"), spans.Count("two"); one != 10 || two != 5 {
		t.Errorf("counted %d and %d spans, want 10 and 5", one, two)
	}
}
