package login

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// defaultRedirect is where a page leads back to that is not told otherwise.
const defaultRedirect = "http://127.0.0.1/callback"

// A redirect is where a page leads back to.
type redirect struct {
	url  string // exactly as the provider is told
	host string // without port, as the browser then names it
	path string // as it is written
}

// listen opens what the page leads back to, where that is we.
func (a *Authorization) listen() error {
	text := a.set.RedirectURL
	if text == "" {
		text = defaultRedirect
	}
	u, err := url.Parse(text)
	if err != nil {
		return fmt.Errorf("the redirect URL is no URL")
	}
	a.redirect = redirect{url: text, host: u.Hostname(), path: u.EscapedPath()}
	addresses := loopback(u)
	if len(addresses) == 0 {
		return nil
	}
	port := u.Port()
	switch asked := strconv.Itoa(a.set.Port); {
	case port == "":
		port = asked
	case a.set.Port != 0 && asked != port:
		return fmt.Errorf("the port %s is not that of the redirect URL, %s", asked, text)
	}
	listeners, port, err := listenAt(addresses, port)
	if err != nil {
		return err
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
		a.redirect.url = u.String()
	}
	if a.redirect.path == "" {
		a.redirect.path = "/"
	}
	a.serve(listeners)
	return nil
}

// loopback is where a browser on this machine goes for a URL; nothing if not here.
func loopback(u *url.URL) []string {
	host := strings.ToLower(u.Hostname())
	ip, err := netip.ParseAddr(host)
	switch {
	case u.Scheme != "http":
		return nil
	case host == "localhost": // RFC 8252 §8.3: never an address that others reach
		return []string{"127.0.0.1", "::1"}
	case err == nil && ip.IsLoopback():
		return []string{host}
	}
	return nil
}

// listenAt listens at the first address, and at the others if they can be had.
func listenAt(addresses []string, port string) (listeners []net.Listener, chosen string, err error) {
	for _, address := range addresses {
		l, err := net.Listen("tcp", net.JoinHostPort(address, port))
		switch {
		case err == nil:
			listeners = append(listeners, l)
			port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		case len(listeners) == 0:
			return nil, "", fmt.Errorf("listening for the answer: %w", err)
		}
	}
	return listeners, port, nil
}

// serve answers the browser.
func (a *Authorization) serve(listeners []net.Listener) {
	a.Listening = true
	a.server = &http.Server{
		Handler: http.HandlerFunc(a.answerBrowser), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
	}
	a.server.SetKeepAlivesEnabled(false) // so that Close has nobody to wait for
	for _, l := range listeners {
		a.serving.Go(func() { _ = a.server.Serve(l) }) // ends with Close
	}
}

// answerBrowser takes what the provider's page sends, and shows how the login ended.
func (a *Authorization) answerBrowser(w http.ResponseWriter, r *http.Request) {
	switch q, err := url.ParseQuery(r.URL.RawQuery); {
	case r.URL.EscapedPath() != a.redirect.path:
		show(w, http.StatusNotFound, "There is nothing here", "This is a login of Outrider, which waits for a provider's answer elsewhere.")
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		show(w, http.StatusMethodNotAllowed, "GET is needed here", "A provider's answer comes by a redirect.")
		return
	case !strings.EqualFold((&url.URL{Host: r.Host}).Hostname(), a.redirect.host): // DNS rebinding
		show(w, http.StatusMisdirectedRequest, "This is another host", "A provider's answer comes to "+a.redirect.host+".")
		return
	case err != nil:
		show(w, http.StatusBadRequest, "This is not the answer", errOther.Error())
		return
	default:
		if err := a.take(q); err != nil {
			show(w, http.StatusBadRequest, "This is not the answer", err.Error())
			return
		}
	}
	select {
	case <-a.ended:
	case <-r.Context().Done():
		return
	}
	if a.outcome != nil {
		show(w, http.StatusBadGateway, "You are not logged in to "+a.set.Name, a.outcome.Error()+". The terminal says more.")
		return
	}
	show(w, http.StatusOK, "You are logged in to "+a.set.Name, "This window can be closed.")
}

// closing is how long a browser has to read the page.
const closing = time.Second

// Close tells the browser how the login ended, nil is well, and stops listening. It is
// called once.
func (a *Authorization) Close(outcome error) {
	a.outcome = outcome
	close(a.ended)
	if a.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if a.server.Shutdown(ctx) != nil {
		_ = a.server.Close() // connections that browsers open ahead of time, and others that say nothing
	}
	a.serving.Wait()
}
