package alert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"
)

// mail hands a letter to a mail server (RFC 5321). Its errors have no words of the server:
// some repeat what they were told.
func (s Settings) mail(ctx context.Context, t target, id string, letter []byte) (again bool, err error) {
	conn, err := s.Dial(ctx, "tcp", t.host)
	if err != nil {
		return true, silence(ctx)
	}
	defer conn.Close()                                      //nolint:errcheck // it is over, however that ends
	defer context.AfterFunc(ctx, func() { conn.Close() })() //nolint:errcheck // whoever reads from it sees it
	err = s.converse(conn, t, t.addressed(id, letter, time.Now()))
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return reply.Code < 500, fmt.Errorf("it answered %d", reply.Code)
	}
	if refusal, ok := errors.AsType[mailError](err); ok {
		return false, refusal
	}
	if err != nil {
		return true, silence(ctx)
	}
	return false, nil
}

// A mailError is why a letter is not handed to a server, or not for everybody, and another
// try cannot do better.
type mailError string

// Error implements error.
func (e mailError) Error() string { return string(e) }

const (
	errPlain       mailError = "it offers no STARTTLS, without which the password and the mail could be read on the way"
	errCertificate mailError = "its certificate cannot be trusted"
	errNoLogin     mailError = "it takes no login by PLAIN or LOGIN"
)

// converse speaks with the server over conn.
func (s Settings) converse(conn net.Conn, t target, letter []byte) error {
	config := &tls.Config{ServerName: t.server, RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
	if t.secure {
		conn = tls.Client(conn, config)
	}
	client, err := smtp.NewClient(conn, t.server)
	if err != nil {
		return distrust(err)
	}
	if !t.secure {
		if err := startTLS(client, t, config); err != nil {
			return err
		}
	}
	if t.user != "" {
		if err := client.Auth(login(client, t)); err != nil {
			return err
		}
	}
	if err := client.Mail(t.from); err != nil {
		return err
	}
	refused, err := receive(client, t.to)
	if err != nil {
		return err
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(letter); err != nil {
		return err
	}
	if err := w.Close(); err != nil { // only now has it taken the letter
		return err
	}
	_ = client.Quit()
	if refused > 0 {
		return mailError(fmt.Sprintf("it took the mail, but not for %d of %d recipients", refused, len(t.to)))
	}
	return nil
}

// receive names the recipients, and counts those that the server refuses. If that is all of
// them, or it ends otherwise, there is an error.
func receive(client *smtp.Client, to []string) (refused int, err error) {
	for _, address := range to {
		err = client.Rcpt(address)
		if _, answered := errors.AsType[*textproto.Error](err); err != nil && !answered {
			return refused, err
		}
		if err != nil {
			refused++
		}
	}
	if refused < len(to) {
		return refused, nil
	}
	return refused, err
}

// startTLS goes on in TLS (RFC 3207). On this machine it may be without.
func startTLS(client *smtp.Client, t target, config *tls.Config) error {
	if offered, _ := client.Extension("STARTTLS"); offered {
		return distrust(client.StartTLS(config))
	}
	if loopback(t.server) {
		return nil
	}
	return errPlain
}

// distrust tells a certificate that is not good from a connection that is not.
func distrust(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errCertificate
	}
	return err
}

// login is how the user shows who it is: by PLAIN, or by LOGIN where a server takes only
// that.
func login(client *smtp.Client, t target) smtp.Auth {
	_, ways := client.Extension("AUTH")
	known := strings.Fields(strings.ToUpper(ways))
	for _, way := range known {
		if way == "PLAIN" {
			return smtp.PlainAuth("", t.user, t.password, t.server)
		}
	}
	for _, way := range known {
		if way == "LOGIN" {
			return loginAuth{t.user, t.password}
		}
	}
	return noAuth{}
}

// noAuth is the login at a server that knows none of ours.
type noAuth struct{}

func (noAuth) Start(*smtp.ServerInfo) (string, []byte, error) { return "", nil, errNoLogin }
func (noAuth) Next([]byte, bool) ([]byte, error)              { return nil, errNoLogin }

// loginAuth is the login of old servers, Exchange among them: the name, then the password
// (draft-murchison-sasl-login-00).
type loginAuth struct{ user, password string }

func (a loginAuth) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS && !loopback(server.Name) {
		return "", nil, errPlain
	}
	return "LOGIN", nil, nil
}

func (a loginAuth) Next(asked []byte, more bool) ([]byte, error) {
	switch {
	case !more:
		return nil, nil
	case strings.HasPrefix(strings.ToLower(string(asked)), "user"):
		return []byte(a.user), nil
	}
	return []byte(a.password), nil
}
