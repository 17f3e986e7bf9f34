package alarm_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/alarm"
)

func TestCredentialThatEndsIsAnAlertAWeekBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := newTestAlarms(t)
		document := "[upstream.crm]\nurl = \"http://127.0.0.1:1\"\nauth = { type = \"bearer\", token = \"env:KEY\", expires = %q }\n"
		a.Follow(compiled(t, fmt.Sprintf(document, "2000-01-31")))
		time.Sleep(23*24*time.Hour - 1)
		a.Look(nil, time.Now())
		d.want()
		time.Sleep(time.Minute)
		a.Look(nil, time.Now())
		d.want("credential-expiring: The credential of crm ends in 6 days, on 2000-01-31 00:00 UTC")
		if a := d.only(); a.Subject != "crm/end:credential of default" || a.Action != "Put another one where the configuration reads it, and its end into expires." {
			t.Errorf("it is %+v", a)
		}
		time.Sleep(10 * 24 * time.Hour)
		a.Look(nil, time.Now())
		if a := d.only(); a.Title != "The credential of crm ended on 2000-01-31 00:00 UTC" {
			t.Errorf("it is %+v", a)
		}
		a.Follow(compiled(t, fmt.Sprintf(document, "2000-12-31")))
		time.Sleep(time.Minute)
		a.Look(nil, time.Now())
		d.want("credential-expiring: The credential of crm ends in 6 days, on 2000-01-31 00:00 UTC",
			"credential-expiring is over: The credential of crm ended on 2000-01-31 00:00 UTC")
	})
}

// endingCertificate makes a certificate, with its key, in a file.
func endingCertificate(t *testing.T, path string, lifetime time.Duration) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(lifetime)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// One that lives for ten days is renewed when two are left: a week before would be always.
func TestCertificatesThatEndAreAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "client.pem")
		endingCertificate(t, path, 10*24*time.Hour)
		root := endingCertificate(t, filepath.Join(t.TempDir(), "root.pem"), 365*24*time.Hour)
		a, d := newAlarmsWith(t, alarm.Settings{Authority: func() *x509.Certificate {
			if time.Now().After(root.NotAfter) {
				return nil // for it cannot be used
			}
			return root
		}})
		a.Follow(compiled(t, fmt.Sprintf("[upstream.crm]\nurl = \"https://crm.test\"\nclient_cert = %q\nclient_key = %[1]q\n", path)))
		time.Sleep(8*24*time.Hour - time.Hour)
		a.Look(nil, time.Now())
		d.want()
		time.Sleep(2 * time.Hour)
		a.Look(nil, time.Now())
		client := "certificate-expiring: The client certificate of crm ends in 47 hours, on 2000-01-11 00:00 UTC"
		d.want(client)
		time.Sleep(350*24*time.Hour + 12*time.Hour)
		a.Look(nil, time.Now())
		authority := "certificate-expiring: The local certificate authority ends in 6 days, on 2000-12-31 00:00 UTC"
		d.want(client, authority)
		time.Sleep(10 * 24 * time.Hour)
		a.Look(nil, time.Now())
		d.want(client, authority) // it is no better now that it has ended
		for _, a := range a.Active() {
			if !strings.Contains(a.Title, "ended on") || a.Action == "" {
				t.Errorf("it is %+v", a)
			}
		}
	})
}
