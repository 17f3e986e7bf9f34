package alert

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

// A mailbox is where mail goes, and by whom.
type mailbox struct {
	secure         bool // TLS from the first byte on, and not by STARTTLS
	server         string
	user, password string // "": nobody logs in
	from           string
	to             []string
}

var (
	errMail      = errors.New(`must be "smtp://USER:PASSWORD@HOST:587/?to=ADDRESS&from=ADDRESS", or smtps:// for TLS from the first byte on`)
	errRecipient = errors.New("must say to whom mail goes: ?to=ADDRESS, or several with , between them")
	errSender    = errors.New("must say from whom mail is, since its user is no address: ?from=ADDRESS")
)

// parseMail reads the URL of a mail server. Its errors do not show it.
func parseMail(text string) (target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return target{}, errMail
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return target{}, errMail
	}
	for name := range query {
		if !slices.Contains([]string{"to", "from"}, name) {
			return target{}, errMail
		}
	}
	box := mailbox{secure: u.Scheme == "smtps", server: u.Hostname(), user: u.User.Username()}
	box.password, _ = u.User.Password()
	if box.to = addresses(query.Get("to")); len(box.to) == 0 {
		return target{}, errRecipient
	}
	from := addresses(query.Get("from"))
	if !query.Has("from") {
		from = addresses(box.user)
	}
	if len(from) != 1 {
		return target{}, errSender
	}
	box.from = from[0]
	port := u.Port()
	switch {
	case port != "":
	case box.secure:
		port = "465"
	default:
		port = "587"
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return target{kind: mail, host: host + ":" + port, mailbox: box}, nil
}

// addresses reads a list of addresses; none, if something is wrong with one.
func addresses(text string) []string {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return nil
	}
	list, err := netmail.ParseAddressList(text)
	if err != nil {
		return nil
	}
	plain := make([]string, 0, len(list))
	for _, a := range list {
		plain = append(plain, a.Address)
	}
	return plain
}

// letter is a mail about alerts but for its first lines, which each try has of its own
// (RFC 5322).
func letter(subject, text string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", clip(subject, maxSubject)))
	b.WriteString("MIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: quoted-printable\r\n" +
		"Auto-Submitted: auto-generated\r\n" + // RFC 3834: nobody's absence is to answer
		"\r\n")
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	_ = w.Close() // to memory
	return b.Bytes()
}

// maxSubject keeps the line of the subject short, in characters.
const maxSubject = 150

// addressed puts before a letter who it is from, to whom and when.
func (m *mailbox) addressed(id string, letter []byte, now time.Time) []byte {
	_, domain, _ := strings.Cut(m.from, "@")
	head := fmt.Sprintf("From: Outrider <%s>\r\nTo: <%s>\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\n",
		m.from, strings.Join(m.to, ">,\r\n <"), now.Format(time.RFC1123Z), id, domain)
	return append([]byte(head), letter...)
}
