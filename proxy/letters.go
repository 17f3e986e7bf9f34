package proxy

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"outrider/policy"
	"outrider/proxy/outbox"
)

// lettersPath is where the letters are, beside the upstreams.
const lettersPath = "/outbox/letters/"

// location is where a client finds a letter: at the name by which it knows us, where that
// is known, and else at the address of the main port that it came to, or that is beside
// the one it came to. A client of the proxy reaches it through us and without us.
func (s *Server) location(r *http.Request, to route, id string) string {
	host := s.main.authority(r)
	if to.form == formBaseURL && to.target.prefix != "" && r.Host != "" {
		host = r.Host
	}
	return "http://" + host + lettersPath + id
}

// authority is an address as somebody reaches it who is connected to us already.
func (at *address) authority(r *http.Request) string {
	if at.socket {
		return "localhost" // whoever has the path of the socket gives any name
	}
	host := at.host
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if local, ok := localAddress(r); ok {
			host = local.Addr().String()
		}
	}
	return net.JoinHostPort(host, at.port)
}

// localAddress is our end of the connection that a request came by.
func localAddress(r *http.Request) (netip.AddrPort, bool) {
	address, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return netip.AddrPort{}, false
	}
	local, err := endOf(address)
	return netip.AddrPortFrom(local.Addr().WithZone(""), local.Port()), err == nil
}

// letterOfPath finds out whether a request is for the letters, and what it says behind
// their path. They are at the main port, of which at is, and under no name of an upstream.
func (at *address) letterOfPath(r *http.Request) (rest string, ok bool) {
	raw := r.RequestURI
	if absolute(r) {
		if !at.isMe(r) {
			return "", false
		}
		raw = originForm(raw)
	}
	if !strings.HasPrefix(raw, "/outbox") {
		return "", false
	}
	path := splitTarget(raw).path
	if path != "/outbox" && !strings.HasPrefix(path, "/outbox/") || nameInHost(hostOf(r.Host)) != "" {
		return "", false
	}
	rest, _ = strings.CutPrefix(path, lettersPath)
	return rest, true
}

// letters is the resource of a letter: GET tells how it stands, GET of its response gives
// what the upstream answered, byte for byte, and DELETE takes a letter back that was not
// sent yet. Who may call base URLs may ask, and has to know the id.
func (s *Server) letters(at *address, x *exchange, rest string) {
	id, response := strings.CutSuffix(rest, "/response")
	switch {
	case !at.accepts(hostOf(x.r.Host)):
		x.refuse(foreignHost(x.r.Host))
	case !at.keyed && at.fromAnotherSite(x.r.Header, x.r.Host):
		x.refuse(crossSite())
	case s.Outbox == nil || id == "" || strings.Contains(id, "/"):
		x.refuse(&problem{slug: "letter-unknown", detail: "letters are at " + lettersPath + "ID"})
	case x.r.Method == http.MethodDelete && !response:
		s.cancelLetter(x, id)
	case !x.reads():
		allow := "GET, HEAD, DELETE"
		if response {
			allow = "GET, HEAD"
		}
		x.refuse(&problem{slug: "method-denied", status: http.StatusMethodNotAllowed, allow: allow, detail: "a letter takes GET and DELETE, and its response GET"})
	case response:
		s.showResponse(x, id)
	default:
		s.showLetter(x, id)
	}
}

func (x *exchange) reads() bool { return x.r.Method == http.MethodGet || x.r.Method == http.MethodHead }

// showLetter tells how a letter stands: when it has ended, where the caller waits.
func (s *Server) showLetter(x *exchange, id string) {
	if wait := preferenceOf(x.r.Header).wait; wait > 0 {
		s.await(x, id, wait)
	}
	view, err := s.Outbox.Letter(x.ctx, id)
	if err != nil {
		x.refuse(letterProblem(id, err))
		return
	}
	if view.HeldBy != nil {
		view.HeldBy.ID = "" // who knows it may read that letter, whose caller may be another
	}
	x.outcome.Class, x.outcome.Letter = policy.ClassKept, id
	x.document(http.StatusOK, view)
}

func (s *Server) showResponse(x *exchange, id string) {
	answer, err := s.Outbox.Response(x.ctx, id)
	if err != nil {
		x.refuse(letterProblem(id, err))
		return
	}
	x.outcome.Class, x.outcome.Letter = policy.ClassKept, id
	x.relayKept(answer)
}

func (s *Server) cancelLetter(x *exchange, id string) {
	if err := s.Outbox.Cancel(x.ctx, id); err != nil {
		x.refuse(letterProblem(id, err))
		return
	}
	s.showLetter(x, id)
}

// letterProblem is the answer to who asked for a letter.
func letterProblem(id string, err error) error {
	switch {
	case errors.Is(err, outbox.ErrUnknown):
		return &problem{slug: "letter-unknown", detail: "there is no letter " + quote(id) + "; one that has ended is forgotten after outbox.keep_results, or outbox.keep_dead"}
	case errors.Is(err, outbox.ErrUnanswered):
		return &problem{slug: "letter-unanswered", detail: "no upstream has answered the letter " + quote(id)}
	case errors.Is(err, outbox.ErrHeld):
		return &problem{slug: "letter-sending", detail: "the letter " + quote(id) + " is being sent"}
	case errors.Is(err, outbox.ErrEnded):
		return &problem{slug: "letter-ended", detail: "the letter " + quote(id) + " has ended"}
	}
	return &problem{slug: "outbox-unavailable", detail: "the outbox cannot be read: " + err.Error()}
}
