package outbox_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/outbox/outboxtest"
)

// FuzzEnvelope has anything be read as an envelope: it is one, or it is none; and one that is
// read comes out as it was when it is written again.
func FuzzEnvelope(f *testing.F) {
	letter := &outbox.Letter{
		Upstream: "crm", Connection: "acme", Method: "POST", Scheme: "https", Host: "x", Target: "/a?\xff",
		Header: http.Header{"A": {"b\xff", ""}}, Trailer: http.Header{"T": {"t"}}, Key: "k", KeyHeader: "Idempotency-Key",
		OrderKey: "o\xff", DedupKey: "d", Callback: "https://x/", Location: "http://y/", Caller: "c", Priority: "low",
		Traceparent: "00-1-2-01", BodySize: 3, BodySHA256: bytes.Repeat([]byte{1}, 32),
	}
	sealed, err := outbox.Seal(letter)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"upstream":"a","method":"GET","target":"","body_size":-1,"body_sha256":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		letter, err := outbox.Open("id", data)
		if err != nil {
			return
		}
		again, err := outbox.Seal(letter)
		if err != nil {
			t.Fatal(err)
		}
		second, err := outbox.Open("id", again)
		if err != nil || !reflect.DeepEqual(letter, second) {
			t.Errorf("%+v\n%+v\n%v", letter, second, err)
		}
	})
}

// FuzzLine has anything be imported: it is a line, or the error says what would be right, and
// nothing is kept.
func FuzzLine(f *testing.F) {
	f.Add(`{"upstream":"crm","path":"/a","json":{"n":1},"headers":{"a":"b","c":["d"]}}`)
	f.Add(`{"url":"https://x/","body_base64":"AA=="}`)
	f.Add(`[]`)
	f.Add(`{"headers":{"a":1}}`)
	f.Fuzz(func(t *testing.T, line string) {
		synctest.Test(t, func(t *testing.T) {
			r := &rig{t: t, begin: time.Now(), store: &outboxtest.Store{}}
			s := r.settings()
			s.Address = address
			o := outbox.New(s, limits())
			got, err := o.Import(context.Background(), strings.NewReader(line), nil)
			kept, _, _ := o.List(context.Background(), outbox.Filter{}, "", 500)
			if err != nil && len(kept) > 0 || err == nil && len(kept) != got.Letters {
				t.Errorf("%d letters are kept, %+v, %v", len(kept), got, err)
			}
		})
	})
}

// FuzzMark has a body be kept while it comes, in reads of any size.
func FuzzMark(f *testing.F) {
	f.Add([]byte("hello"), int64(10), 1, 3)
	f.Add([]byte("hello"), int64(5), 8, 1)
	f.Add([]byte("hello"), int64(2), 2, 2)
	f.Add([]byte{}, int64(0), 1, 1)
	f.Fuzz(func(t *testing.T, body []byte, most int64, write, read int) {
		if most < 0 || write < 1 || read < 1 || write > 1<<16 || read > 1<<16 {
			return
		}
		kept := readBy(t, outbox.Mark(bytes.NewReader(body), most), write, nil)
		var want error
		if int64(len(body)) > most {
			want = io.ErrUnexpectedEOF
		}
		got := readBy(t, outbox.Unmark(io.NopCloser(bytes.NewReader(kept))), read, want)
		if !bytes.Equal(got, body[:min(int64(len(body)), most)]) {
			t.Errorf("%q of %q", got, body)
		}
	})
}

// readBy reads in pieces of a size, up to io.EOF, or to the error that is wanted.
func readBy(t *testing.T, r io.Reader, size int, want error) (all []byte) {
	p := make([]byte, size)
	for {
		n, err := r.Read(p)
		all = append(all, p[:n]...)
		switch {
		case err == nil:
		case err == io.EOF && want == nil, err == want:
			return all
		default:
			t.Fatalf("read %q, and then %v; want %v", all, err, want)
		}
	}
}
