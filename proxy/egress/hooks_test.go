package egress_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/proxy/egress"
)

// A listening context writes down what it is told.
type listeningContext struct {
	context.Context
	heard []string
	begun time.Time // zero: not known
}

func (c *listeningContext) GotConn(info httptrace.GotConnInfo) {
	c.heard = append(c.heard, "connection to "+info.Conn.RemoteAddr().String())
}

func (c *listeningContext) WroteHeaders() { c.heard = append(c.heard, "sent") }

func (c *listeningContext) Got1xxResponse(_ int, header textproto.MIMEHeader) error {
	c.heard = append(c.heard, "hints "+header.Get("Link"))
	return nil
}

func (c *listeningContext) GotBody() { c.heard = append(c.heard, "body") }

func (c *listeningContext) Departed() time.Time { return c.begun }

// A context that is a Listener is told itself, and nobody else is: not the hooks
// of a context that it is made of.
func TestAContextMayListenItself(t *testing.T) {
	s := serve(t, func(p *peer) {
		for p.head() != "" {
			p.say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + hello)
		}
	})
	tr := newTransport(t, egress.Settings{})
	for range 2 {
		req := newRequest(t, "GET", "http://"+s.addr+"/", nil)
		outer := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			WroteHeaders: func() { t.Error("the hooks of the context beneath were called") },
		})
		ctx := &listeningContext{Context: outer}
		fetch(t, tr, req.WithContext(ctx))
		if want := []string{"connection to " + s.addr, "sent", "hints x", "body"}; !slices.Equal(ctx.heard, want) {
			t.Errorf("heard %q, want %q", ctx.heard, want)
		}
	}
}

// Whoever passes an answer on need not write its head on its own, if something of the
// body is there already. What only frames it is nothing, and trailers that are to come are
// waited for: whoever took these for a body kept the head back until they came.
func TestABodyThatCameWithItsHeadIsTold(t *testing.T) {
	const chunked, sized = "Transfer-Encoding: chunked\r\n\r\n", "Content-Length: 3\r\n\r\n"
	for _, c := range []struct {
		name, first, then string
		body              string
		told              bool
	}{
		{"a chunk", chunked + "3\r\nabc\r\n", "0\r\n\r\n", "abc", true},
		{"a byte of a chunk", chunked + "3\r\na", "bc\r\n0\r\n\r\n", "abc", true},
		{"a line of a chunk", chunked + "3\r\n", "abc\r\n0\r\n\r\n", "abc", false},
		{"a part of that", chunked + "3", "\r\nabc\r\n0\r\n\r\n", "abc", false},
		{"a chunked head", chunked, "3\r\nabc\r\n0\r\n\r\n", "abc", false},
		{"a byte of a length", sized + "a", "bc", "abc", true},
		{"a sized head", sized, "abc", "abc", false},
		{"the last chunk and a part of its trailers", chunked + "0\r\nX-End:", " 1\r\n\r\n", "", false},
		{"the last chunk", chunked + "0\r\n\r\n", "", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			more := make(chan struct{})
			s := serve(t, func(p *peer) {
				p.head()
				p.say("HTTP/1.1 200 OK\r\n" + c.first)
				<-more
				p.say(c.then)
			})
			req := newRequest(t, "GET", "http://"+s.addr+"/", nil)
			ctx := &listeningContext{Context: req.Context()}
			resp, err := newTransport(t, egress.Settings{}).RoundTrip(req.WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if told := slices.Contains(ctx.heard, "body"); told != c.told {
				t.Errorf("told %v, want %v", told, c.told)
			}
			close(more)
			if data, err := io.ReadAll(resp.Body); string(data) != c.body || err != nil {
				t.Errorf("the body is %q, %v", data, err)
			}
		})
	}
}

func TestAContextMayListenOverHTTP2(t *testing.T) {
	url := serveHTTP2(t, func(http.ResponseWriter, *http.Request) {})
	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	req := newRequest(t, "GET", url, nil)
	ctx := &listeningContext{Context: req.Context()}
	fetch(t, tr, req.WithContext(ctx))
	if got := strings.Join(ctx.heard, ", "); got != "connection to "+strings.TrimPrefix(strings.TrimSuffix(url, "/"), "https://")+", sent" {
		t.Errorf("heard %q", got)
	}
}
