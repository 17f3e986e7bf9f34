package inbound_test

import (
	"bufio"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"outrider/proxy/inbound"
)

// heard is every byte of what a server says to raw.
func heard(raw string, handler http.HandlerFunc) string {
	s := newScript(raw, nil)
	server := inbound.New(inbound.Settings{Handler: handler})
	_ = server.Serve(&onlyOne{s})
	<-s.closed
	return s.heard.String()
}

func TestAnswersByTheByte(t *testing.T) {
	get10, get11 := head("GET / HTTP/1.0"), head("GET / HTTP/1.1", "Host: a")
	said := func(status int, body string, fields ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = nil
			for i := 0; i < len(fields); i += 2 {
				w.Header().Add(fields[i], fields[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		raw     string
		handler http.HandlerFunc
		want    string
	}{
		"fields in order, values as they came": {get11, said(200, "hi", "X-B", "2", "X-A", "1", "X-B", " 3 ", "Content-Length", "2"),
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nX-B: 2\r\nX-B: 3\r\n\r\nhi"},
		"no body, no length":             {get11, said(200, ""), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		"a body of no length":            {get11, said(200, "hi"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
		"a body of no length, 1.0":       {get10, said(200, "hi"), "HTTP/1.0 200 OK\r\n\r\nhi"},
		"keep-alive, 1.0":                {head("GET / HTTP/1.0", "Connection: keep-alive"), said(200, "hi", "Content-Length", "2"), "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi"},
		"HEAD":                           {head("HEAD / HTTP/1.1", "Host: a"), said(200, "hi", "Content-Length", "2"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"},
		"HEAD of no length":              {head("HEAD / HTTP/1.1", "Host: a"), said(200, "hi"), "HTTP/1.1 200 OK\r\n\r\n"},
		"304":                            {get11, said(304, "hi", "Content-Length", "2", "Content-Type", "x"), "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\nContent-Type: x\r\n\r\n"},
		"204":                            {get11, said(204, "hi", "Content-Length", "2"), "HTTP/1.1 204 No Content\r\n\r\n"},
		"a status without a name":        {get11, said(299, ""), "HTTP/1.1 299 status code 299\r\nContent-Length: 0\r\n\r\n"},
		"the client wants it to end":     {head("GET / HTTP/1.1", "Host: a", "Connection: close") + get11, said(204, ""), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"},
		"the handler wants it to end":    {get11 + get11, said(204, "", "Connection", "close"), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"},
		"a length that is none":          {get11, said(200, "hi", "Content-Length", "2, 2"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
		"a name that is none, two lines": {get11, said(204, "", "A b", "x", "C", "d\r\nE: f"), "HTTP/1.1 204 No Content\r\nC: d  E: f\r\n\r\n"},
		"too little of a body":           {get11 + get11, said(200, "h", "Content-Length", "2"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"},
		"too much of a body":             {get11, said(200, "hi!", "Content-Length", "2"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"},
		"broken off": {get11 + get11, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}, ""},
		"trailers": {get11, func(w http.ResponseWriter, r *http.Request) {
			said(200, "hi", "Trailer", "Sum")(w, r)
			w.Header().Set(http.TrailerPrefix+"Sum", "1")
		}, "HTTP/1.1 200 OK\r\nTrailer: Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSum: 1\r\n\r\n"},
		"early hints": {get11, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "<x>")
			w.WriteHeader(103)
			w.Header().Del("Link")
			said(204, "")(w, r)
		}, "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"},
	} {
		if got := heard(c.raw, c.handler); got != c.want {
			t.Errorf("%s: got  %q\nwant %q", name, got, c.want)
		}
	}
}

func TestDateIsAddedWhereTheHandlerSaysNothingOfIt(t *testing.T) {
	got := heard(head("GET / HTTP/1.1", "Host: a"), func(http.ResponseWriter, *http.Request) {})
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err != nil || time.Since(date) > time.Minute {
		t.Errorf("Date is %v: %v", date, err)
	}
}

// everyField picks all that there is.
func everyField(_ string, values []string) []string { return values }

// The head of another answer goes out with what is said beside it, in order, and with no Date;
// what is not picked stays, and the header is not written to.
func TestHeadOfAnotherAnswerIsPassedOn(t *testing.T) {
	header := http.Header{"Set-Cookie": {"a", "b"}, "Date": nil, "X-B": {"2"}, "X-Mine": {"x"}, "X-C": {"theirs"}, "Content-Length": {"2"}, "Bad Name": {"y"}}
	kept := header.Clone()
	got := heard(head("GET / HTTP/1.1", "Host: a")+head("GET / HTTP/1.1", "Host: a"), func(w http.ResponseWriter, _ *http.Request) {
		passed := inbound.Pass(w, &inbound.Head{
			Status: 201, Header: header,
			Pick: func(name string, values []string) []string {
				if name == "X-Mine" {
					return nil
				}
				return values
			},
			Own: []inbound.Field{{Name: "X-C", Value: "3"}, {Name: "X-A", Value: "on\r\ntwo lines"}},
		})
		if !passed {
			t.Error("the head was not passed on")
		}
		w.Header()["X-Late"] = []string{"4"}
		_, _ = io.WriteString(w, "hi")
	})
	want := "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-A: on  two lines\r\nX-B: 2\r\nX-C: 3\r\n\r\nhi"
	if got != want+want {
		t.Errorf("got  %q\nwant %q twice", got, want)
	}
	if !reflect.DeepEqual(header, kept) {
		t.Errorf("the header is %v now", header)
	}
}

func TestHeadThatIsPassedOnMayEndTheConnection(t *testing.T) {
	got := heard(head("GET / HTTP/1.1", "Host: a")+head("GET / HTTP/1.1", "Host: a"), func(w http.ResponseWriter, _ *http.Request) {
		inbound.Pass(w, &inbound.Head{Status: 204, Last: true})
	})
	if want := "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A trailer follows a body whose head was passed on, and no header of it has to be asked for before.
func TestTrailerFollowsAHeadThatWasPassedOn(t *testing.T) {
	got := heard(head("GET / HTTP/1.1", "Host: a"), func(w http.ResponseWriter, _ *http.Request) {
		inbound.Pass(w, &inbound.Head{Status: 200, Own: []inbound.Field{{Name: "Trailer", Value: "X-Sum"}}})
		_, _ = io.WriteString(w, "hi")
		w.Header()[http.TrailerPrefix+"X-Sum"] = []string{"9"}
	})
	if want := "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 9\r\n\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAnswerOfItsOwnIsNotPassedOver(t *testing.T) {
	another := &inbound.Head{Status: 200, Header: http.Header{"X-A": {"1"}}, Pick: everyField}
	got := heard(head("GET / HTTP/1.1", "Host: a"), func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil
		if inbound.Pass(w, another) {
			t.Error("a head took the place of a header")
		}
		w.WriteHeader(204)
		delete(w.Header(), "Date")
		if inbound.Pass(w, another) {
			t.Error("a head came behind another")
		}
	})
	if want := "HTTP/1.1 204 No Content\r\n\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if inbound.Pass(httptest.NewRecorder(), another) {
		t.Error("an answer of another server was passed on")
	}
}

// A status line of theirs would be none, and what follows it be taken for another answer.
func TestStatusThatEndsNoCallIsNotPassedOn(t *testing.T) {
	got := heard(head("GET / HTTP/1.1", "Host: a"), func(w http.ResponseWriter, _ *http.Request) {
		for _, status := range []int{-200, 0, 42, 103, 1000} {
			if inbound.Pass(w, &inbound.Head{Status: status}) {
				t.Errorf("a status of %d was passed on", status)
			}
		}
		inbound.Pass(w, &inbound.Head{Status: 999})
	})
	if want := "HTTP/1.1 999 status code 999\r\nContent-Length: 0\r\n\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A reason that would end its line is none: what follows would be a field, or another answer.
func TestReasonIsNoMoreThanThat(t *testing.T) {
	for reason, line := range map[string]string{
		"Gone fishing": "HTTP/1.1 410 Gone fishing", "": "HTTP/1.1 410 Gone",
		"Gone\r\nX-A: 1": "HTTP/1.1 410 Gone", "Gone\nX-A: 1": "HTTP/1.1 410 Gone", "Go\x00ne": "HTTP/1.1 410 Gone",
	} {
		got := heard(head("GET / HTTP/1.1", "Host: a"), func(w http.ResponseWriter, _ *http.Request) {
			inbound.Pass(w, &inbound.Head{Status: 410, Reason: reason})
		})
		if want := line + "\r\nContent-Length: 0\r\n\r\n"; got != want {
			t.Errorf("%q: got %q, want %q", reason, got, want)
		}
	}
}

// A counter counts the writes to a connection.
type counter struct {
	*script
	writes []int
}

func (c *counter) Write(p []byte) (int, error) {
	c.writes = append(c.writes, len(p))
	return c.script.Write(p)
}

func TestHeadAndSmallBodyAreOneWrite(t *testing.T) {
	c := &counter{script: newScript(head("GET / HTTP/1.1", "Host: a"), nil)}
	server := inbound.New(inbound.Settings{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = w.Write(make([]byte, 1024))
		}
	})})
	_ = server.Serve(&onlyOne{c})
	<-c.closed
	if len(c.writes) != 1 {
		t.Errorf("writes of %v bytes", c.writes)
	}
}

// What a handler left to the server is written under a deadline, too: a client that
// never reads must not hold it for ever.
func TestClientThatDoesNotReadIsGivenUp(t *testing.T) {
	var failure error
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))
			_, failure = w.Write(make([]byte, 1<<20))
		}
	})
	for path, want := range map[string]time.Duration{"/": 5 * time.Minute, "/large": time.Minute} {
		settings := inbound.Settings{Handler: handler, WriteTimeout: 5 * time.Minute}
		bubble(t, settings, func(t *testing.T, s *inbound.Server, dial func() net.Conn) {
			began := time.Now()
			say(t, dial(), head("GET "+path+" HTTP/1.1", "Host: a"))
			_ = s.Shutdown(t.Context()) // returns when the connection is gone
			if d := time.Since(began); d != want {
				t.Errorf("%s: given up after %v, want %v", path, d, want)
			}
		})
	}
	if !errors.Is(failure, os.ErrDeadlineExceeded) {
		t.Errorf("the handler hears %v", failure)
	}
}

// told is what a log says.
type told chan string

func (l told) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }

func TestPanicCostsOneConnectionOnly(t *testing.T) {
	said := make(told, 1)
	s := serve(t, func(s *inbound.Settings) {
		echo := s.Handler
		s.ErrorLog = log.New(said, "", 0)
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/panic" {
				panic("a defect")
			}
			echo.ServeHTTP(w, r)
		})
	})
	c := s.dial(t)
	_, _ = io.WriteString(c, head("GET /panic HTTP/1.1", "Host: a"))
	if data, err := io.ReadAll(c); len(data) > 0 || err != nil {
		t.Errorf("heard %q, %v", data, err)
	}
	if got := s.exchange(t, head("GET / HTTP/1.1", "Host: a", "Connection: close")); len(got) != 1 || got[0].status != 200 {
		t.Errorf("the next call: %v", got)
	}
	if line := <-said; !strings.Contains(line, "a defect") {
		t.Errorf("told: %q", line)
	}
}

// A handler that has more to do than to answer lets its client have the answer first.
func TestAnswerThatHasEndedIsWholeBeforeItsHandlerReturns(t *testing.T) {
	for name, c := range map[string]struct {
		answer  func(w http.ResponseWriter)
		body    string
		trailer http.Header
	}{
		"of a length": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "hi")
		}, "hi", nil},
		"of no length, with a trailer": {func(w http.ResponseWriter) {
			w.Header().Set("Trailer", "Sum")
			_, _ = io.WriteString(w, "hi")
			w.Header().Set(http.TrailerPrefix+"Sum", "1")
		}, "hi", http.Header{"Sum": {"1"}}},
		"that has no body":         {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }, "", nil},
		"with nothing in its body": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan struct{})
			handler := func(w http.ResponseWriter, r *http.Request) {
				c.answer(w)
				if err := inbound.End(w); err != nil {
					t.Error(err)
				}
				select {
				case <-got:
				case <-r.Context().Done(): // a client that has given up, as it does in no test that passes
				}
				if n, err := io.WriteString(w, "more"); n != 0 || err == nil {
					t.Errorf("%d bytes were written behind the end: %v", n, err)
				}
				if err := inbound.End(w); err != nil {
					t.Error(err)
				}
			}
			s := serve(t, func(settings *inbound.Settings) { settings.Handler = http.HandlerFunc(handler) })
			client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
			for range 2 { // on one connection
				resp, err := client.Get("http://" + s.addr)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if resp.Body.Close(); err != nil || string(body) != c.body || !reflect.DeepEqual(resp.Trailer, c.trailer) {
					t.Errorf("%q with %v, %v", body, resp.Trailer, err)
				}
				got <- struct{}{}
			}
		})
	}
}

// What has not begun, or is not this server's, is for its handler's return to end.
func TestAnswerThatHasNotBegunDoesNotEnd(t *testing.T) {
	got := heard(head("GET / HTTP/1.1", "Host: a"), func(w http.ResponseWriter, _ *http.Request) {
		if err := inbound.End(w); err != nil {
			t.Error(err)
		}
		w.Header()["Date"] = nil
		w.WriteHeader(http.StatusAccepted)
	})
	if got != "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n" {
		t.Errorf("%q", got)
	}
	if err := inbound.End(httptest.NewRecorder()); err != nil {
		t.Error(err)
	}
}

// Who ends an answer hears that its client is gone.
func TestEndTellsOfAClientThatIsGone(t *testing.T) {
	near, far := net.Pipe()
	_ = far.Close()
	ended := make(chan error, 1)
	server := inbound.New(inbound.Settings{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		ended <- inbound.End(w)
	})})
	_ = server.Serve(&onlyOne{spoken{near, strings.NewReader(head("GET / HTTP/1.1", "Host: a"))}})
	if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("ended with %v", err)
	}
}

// spoken is a connection whose client has said all that it will.
type spoken struct {
	net.Conn
	said io.Reader
}

func (s spoken) Read(p []byte) (int, error) { return s.said.Read(p) }
