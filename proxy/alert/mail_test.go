package alert_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
	"outrider/proxy/alert"
)

// A postOffice is a mail server in memory.
type postOffice struct {
	host     string
	ways     string // what it offers after AUTH; "": no login
	startTLS bool
	inTLS    bool   // from the first byte on
	trusted  bool   // its certificate can be
	refuses  string // the recipients that have it; "": none
	answers  []string

	mu      sync.Mutex
	letters []string // the envelope, then what was handed over
	said    []string // by the client, in the clear
}

// open puts a Notifier before the server. The URL is smtp or smtps of its host.
func (p *postOffice) open(t *testing.T, url string) *station {
	t.Helper()
	certificate, roots := certify(t, p.host)
	network := policytest.NewNet()
	for _, port := range []string{"587", "465", "2525"} {
		listener, err := network.Listen(net.JoinHostPort(p.host, port))
		if err != nil {
			t.Fatal(err)
		}
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { p.serve(conn, certificate) })
			}
		})
		t.Cleanup(func() { listener.Close(); serving.Wait() })
	}
	s := &station{}
	set := alert.Settings{Source: source, Dial: network.Dial, Failed: func(err error) { s.failed = append(s.failed, err.Error()) }}
	if p.trusted {
		set.Roots = roots
	} else {
		set.Roots = x509.NewCertPool()
	}
	s.Notifier = alert.NewNotifier(set, to(url))
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func certify(t *testing.T, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour * 24), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// serve speaks SMTP, as much as a client of ours needs.
func (p *postOffice) serve(conn net.Conn, certificate tls.Certificate) {
	defer conn.Close()
	secure := p.inTLS
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	if secure {
		conn = tls.Server(conn, config)
	}
	lines := bufio.NewReader(conn)
	say := func(format string, args ...any) { fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220 %s", p.host)
	envelope := ""
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if !secure {
			p.mu.Lock()
			p.said = append(p.said, line)
			p.mu.Unlock()
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-%s", p.host)
			if p.startTLS && !secure {
				say("250-STARTTLS")
			}
			if p.ways != "" {
				say("250-AUTH %s", p.ways)
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			upgraded := tls.Server(conn, config)
			conn, lines, secure = upgraded, bufio.NewReader(upgraded), true
		case "AUTH":
			way, first, _ := strings.Cut(rest, " ")
			who, _ := base64.StdEncoding.DecodeString(first)
			if way == "LOGIN" {
				for _, ask := range []string{"Username:", "Password:"} {
					say("334 %s", base64.StdEncoding.EncodeToString([]byte(ask)))
					answer, _ := lines.ReadString('\n')
					part, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(answer))
					who = append(append(who, 0), part...)
				}
			}
			envelope += fmt.Sprintf("%s %q\n", way, who)
			say("%s", p.answer("235 welcome"))
		case "MAIL", "RCPT":
			if p.refuses != "" && strings.Contains(line, p.refuses) {
				say("550 nobody of that name: " + canary)
				continue
			}
			envelope += line + "\n"
			say("250 fine")
		case "DATA":
			say("354 go on")
			var letter strings.Builder
			for {
				line, err := lines.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				letter.WriteString(line)
			}
			p.mu.Lock()
			p.letters = append(p.letters, envelope, letter.String())
			p.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what?")
		}
	}
}

// answer is what the server says to a login: the next of its answers, or what it says
// when all is well.
func (p *postOffice) answer(fine string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.answers) == 0 {
		return fine
	}
	next := p.answers[0]
	p.answers = p.answers[1:]
	return next
}

func TestMailIsSentByTLS(t *testing.T) {
	for name, test := range map[string]struct {
		office   *postOffice
		url      string
		envelope string
	}{
		"STARTTLS": {&postOffice{host: "mail.test", ways: "LOGIN PLAIN", startTLS: true, trusted: true},
			"smtp://me:" + canary + "@mail.test/?to=a@ops.test,b@ops.test&from=outrider@ops.test",
			"PLAIN \"\\x00me\\x00" + canary + "\"\nMAIL FROM:<outrider@ops.test> BODY=8BITMIME\nRCPT TO:<a@ops.test>\nRCPT TO:<b@ops.test>\n"},
		"TLS at once": {&postOffice{host: "mail.test", ways: "LOGIN", inTLS: true, trusted: true},
			"smtps://me%40ops.test:" + canary + "@mail.test/?to=a@ops.test",
			"LOGIN \"\\x00me@ops.test\\x00" + canary + "\"\nMAIL FROM:<me@ops.test> BODY=8BITMIME\nRCPT TO:<a@ops.test>\n"},
		"this machine": {&postOffice{host: "127.0.0.1"},
			"smtp://127.0.0.1:2525/?to=a@ops.test&from=me@ops.test",
			"MAIL FROM:<me@ops.test> BODY=8BITMIME\nRCPT TO:<a@ops.test>\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				office := test.office
				s := office.open(t, test.url)
				trouble := dead
				trouble.Title = "Reconnect crm of Zoë"
				s.Notify(trouble)
				s.Notify(over(trouble))
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if len(office.letters) != 2 || len(s.failed) > 0 {
					t.Fatalf("handed over %q, failed %q", office.letters, s.failed)
				}
				if office.letters[0] != test.envelope {
					t.Errorf("the envelope is\n%s\nwant\n%s", office.letters[0], test.envelope)
				}
				wantLetter(t, office.letters[1], "[orders on web-1] Reconnect crm of Zoë (and 1 more)",
					"[orders on web-1] Reconnect crm of Zoë (crm): login.test: <invalid_grant> & more\r\nOver: Reconnect crm of Zoë (crm), after 1m0s\r\n")
				if said := strings.Join(office.said, "\n"); office.host != "127.0.0.1" && (strings.Contains(said, "MAIL") || strings.Contains(said, "AUTH")) {
					t.Errorf("said in the clear: %s", said)
				}
			})
		})
	}
}

// wantLetter reads a mail as the standard library does.
func wantLetter(t *testing.T, letter, subject, text string) {
	t.Helper()
	message, err := mail.ReadMessage(strings.NewReader(letter))
	if err != nil {
		t.Fatal(err)
	}
	got, err := new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject"))
	if err != nil || got != subject {
		t.Errorf("the subject is %q (%v), want %q", got, err, subject)
	}
	if date, err := message.Header.Date(); err != nil || !date.Equal(since.Add(3*time.Second)) {
		t.Errorf("the date is %v (%v)", date, err)
	}
	if _, err := message.Header.AddressList("To"); err != nil || !strings.Contains(message.Header.Get("Message-Id"), "@ops.test>") {
		t.Errorf("its head is %v: %v", message.Header, err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(message.Body))
	if err != nil || strings.TrimSpace(string(body)) != strings.TrimSpace(text) {
		t.Errorf("it says\n%q (%v)\nwant\n%q", body, err, text)
	}
}

// A password that is sent in the clear is known to everybody on the way.
func TestMailIsNotSentInTheClear(t *testing.T) {
	for name, test := range map[string]struct {
		office *postOffice
		want   string
	}{
		"no STARTTLS":       {&postOffice{host: "mail.test", ways: "PLAIN"}, "telling mail.test:587: it offers no STARTTLS, without which the password and the mail could be read on the way"},
		"another authority": {&postOffice{host: "mail.test", ways: "PLAIN", startTLS: true}, "telling mail.test:587: its certificate cannot be trusted"},
		"an unknown login":  {&postOffice{host: "mail.test", ways: "XOAUTH2", startTLS: true, trusted: true}, "telling mail.test:587: it takes no login by PLAIN or LOGIN"},
		"a wrong password":  {&postOffice{host: "mail.test", ways: "PLAIN", startTLS: true, trusted: true, answers: []string{"535 what is " + canary}}, "telling mail.test:587: it answered 535"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				office := test.office
				s := office.open(t, "smtp://me:"+canary+"@mail.test/?to=a@ops.test&from=me@ops.test")
				s.Notify(dead)
				time.Sleep(18 * time.Second) // a pipe holds no bytes: two ends that speak at once wait until the try ends
				synctest.Wait()
				if got := strings.Join(s.failed, "; "); got != test.want || len(office.letters) > 0 {
					t.Errorf("failed %q, want %q; handed over %q", got, test.want, office.letters)
				}
				if said := strings.Join(office.said, "\n"); strings.Contains(said, "AUTH") || strings.Contains(said, "MAIL") {
					t.Errorf("said in the clear: %s", said)
				}
			})
		})
	}
}

// Somebody left, and with the address that was no more nobody got any mail.
func TestMailGoesToThoseWhoAreThere(t *testing.T) {
	for refuses, want := range map[string]struct {
		letters int
		failed  string
	}{
		"b@ops.test": {2, "telling localhost:587: it took the mail, but not for 1 of 3 recipients"},
		"@ops.test":  {0, "telling localhost:587: it answered 550"},
	} {
		synctest.Test(t, func(t *testing.T) {
			office := &postOffice{host: "localhost", refuses: refuses}
			s := office.open(t, "smtp://localhost/?to=a@ops.test,b@ops.test,c@ops.test&from=me@ops.test")
			s.Notify(dead)
			time.Sleep(time.Hour)
			synctest.Wait()
			if got := strings.Join(s.failed, "; "); got != want.failed || len(office.letters) != want.letters {
				t.Errorf("failed %q, want %q; handed over %q", got, want.failed, office.letters)
			}
			if want.letters > 0 && office.letters[0] != "MAIL FROM:<me@ops.test> BODY=8BITMIME\nRCPT TO:<a@ops.test>\nRCPT TO:<c@ops.test>\n" {
				t.Errorf("the envelope is\n%s", office.letters[0])
			}
		})
	}
}

// A line of a mail has 998 bytes at most (RFC 5322 section 2.1.1), and servers refuse others.
func TestMailToManyHasNoLongLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var to []string
		for i := range 60 {
			to = append(to, fmt.Sprintf("somebody-on-call-%d@ops.test", i))
		}
		office := &postOffice{host: "localhost"}
		s := office.open(t, "smtp://localhost/?from=me@ops.test&to="+strings.Join(to, ","))
		s.Notify(dead)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(office.letters) != 2 {
			t.Fatalf("handed over %q", office.letters)
		}
		for line := range strings.SplitSeq(office.letters[1], "\r\n") {
			if len(line) > 998 {
				t.Errorf("a line of %d bytes: %s", len(line), line[:60])
			}
		}
		message, err := mail.ReadMessage(strings.NewReader(office.letters[1]))
		if err != nil {
			t.Fatal(err)
		}
		if list, err := message.Header.AddressList("To"); err != nil || len(list) != len(to) {
			t.Errorf("it is to %v: %v", list, err)
		}
	})
}

func TestMailServerThatIsBusyIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		office := &postOffice{host: "mail.test", ways: "PLAIN", startTLS: true, trusted: true, answers: []string{"421 later", "454 later"}}
		s := office.open(t, "smtp://me:"+canary+"@mail.test/?to=a@ops.test&from=me@ops.test")
		s.Notify(dead)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(office.letters) != 2 || len(s.failed) > 0 {
			t.Errorf("handed over %q, failed %q", office.letters, s.failed)
		}
	})
}

func TestMailServerThatIsSilentEndsWithTheTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		tried := 0
		n := alert.NewNotifier(alert.Settings{Failed: func(error) {}, Dial: func(context.Context, string, string) (net.Conn, error) {
			if tried++; tried > 1 {
				return nil, errors.New("dialling " + canary)
			}
			return near, nil
		}}, to("smtp://localhost/?to=a@ops.test&from=b@ops.test"))
		defer n.Close(t.Context())
		n.Notify(dead)
		time.Sleep(18*time.Second + 1)
		synctest.Wait()
		if got := n.Status()[0].Error; got != "timeout" {
			t.Errorf("after the first try: %q, want timeout", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := n.Status()[0].Error; got != "no answer" {
			t.Errorf("after the second try: %q, want no answer", got)
		}
	})
}

func TestMailURLs(t *testing.T) {
	for url, want := range map[string]string{
		"smtp://localhost/?to=a@b.test&from=c@d.test":                   "",
		"smtps://me%40b.test:p@mail.test:4650/?to=Ops%20%3Ca@b.test%3E": "",
		"smtp://[::1]:25?to=a@b.test&from=c@d.test":                     "",
		"smtp://" + canary:                                                       "must say to whom mail goes",
		"smtp://mail.test/?to=" + canary:                                         "must say to whom mail goes",
		"smtp://mail.test/?to=a@b.test%0d%0aBcc:c@d.test":                        "must say to whom mail goes",
		"smtp://me:" + canary + "@mail.test/?to=a@b.test":                        "must say from whom mail is",
		"smtp://mail.test/?to=a@b.test&from=c@d.test,e@f.test":                   "must say from whom mail is",
		"smtp://mail.test/?to=a@b.test&from=c@d.test&x=" + canary:                "must be \"smtp://",
		"smtp://mail.test/path?to=a@b.test&from=c@d.test&pass=" + canary + "%zz": "must be \"smtp://",
		"smtp:///?to=a@b.test":                                                   "must be \"smtp://",
	} {
		err := alert.CheckURL(url)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if want == "" && text != "" || !strings.HasPrefix(text, want) || strings.Contains(text, canary) {
			t.Errorf("%s: %q, want %q", url, text, want)
		}
	}
}

func FuzzNotificationURL(f *testing.F) {
	f.Add("smtp://me:p@mail.test/?to=a@b.test")
	f.Add("slack+https://mattermost.test/hooks/x")
	f.Fuzz(func(t *testing.T, url string) {
		if err := alert.CheckURL(url); err != nil && len(url) > 60 && strings.Contains(err.Error(), url) {
			t.Errorf("the error shows the URL: %v", err)
		}
	})
}
