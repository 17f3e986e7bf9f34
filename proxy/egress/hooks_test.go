package egress_test

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"outrider/proxy/egress"
)

// A listening context writes down what it is told.
type listeningContext struct {
	context.Context
	heard []string
}

func (c *listeningContext) GotConn(info httptrace.GotConnInfo) {
	c.heard = append(c.heard, "connection to "+info.Conn.RemoteAddr().String())
}

func (c *listeningContext) WroteHeaders() { c.heard = append(c.heard, "sent") }

func (c *listeningContext) Got1xxResponse(_ int, header textproto.MIMEHeader) error {
	c.heard = append(c.heard, "hints "+header.Get("Link"))
	return nil
}

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
		if want := []string{"connection to " + s.addr, "sent", "hints x"}; !slices.Equal(ctx.heard, want) {
			t.Errorf("heard %q, want %q", ctx.heard, want)
		}
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
