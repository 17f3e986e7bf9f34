package auth_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// certificate makes one of a key that is signed with it.
func certificate(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(4e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// counted mints 1, 2, 3…
func counted() func() string {
	n := 0
	return func() string { n++; return "id-" + strconv.Itoa(n) }
}

// asserting are the settings of the grant jwt_bearer.
func asserting(endpoint *policytest.Upstream, key string) auth.OAuth2Settings {
	s := settings(endpoint, newShelf())
	s.Grant, s.ClientID, s.ClientSecret, s.RefreshToken = "jwt_bearer", nil, nil, nil
	s.Signing = auth.Signing{PrivateKey: value(key), NewID: counted()}
	s.Assertion = auth.Assertion{Issuer: value("the-issuer"), Subject: value("someone@acme.com")}
	return s
}

// forms are what an endpoint received.
func forms(up *policytest.Upstream) (all []url.Values) {
	for _, r := range up.Requests() {
		form, _ := url.ParseQuery(r.Body)
		all = append(all, form)
	}
	return all
}

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

func TestAssertionIsWhatTheTokenIsGivenFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1))
		s := asserting(up, pkcs8(rsaKey()))
		s.Signing.KeyID, s.Signing.Audience, s.Signing.Lifetime = "2026-11", "https://login.acme.com", 3*time.Minute
		s.Assertion.Claims = map[string]string{"box_sub_type": "enterprise"}
		s.Scopes = []string{"api", "id"}
		wantToken(t, newOAuth2(t, s), 1)
		form := forms(up)[0]
		a := parseAssertion(t, form.Get("assertion"))
		a.verify(t, rsaKey().Public())
		now := float64(time.Now().Unix())
		if want := (map[string]any{
			"iss": "the-issuer", "sub": "someone@acme.com", "aud": "https://login.acme.com", "jti": "id-1",
			"iat": now - 60, "exp": now + 180, "scope": "api id", "box_sub_type": "enterprise",
		}); !reflect.DeepEqual(a.claims, want) {
			t.Errorf("claims %v, want %v", a.claims, want)
		}
		if want := (map[string]any{"alg": "RS256", "typ": "JWT", "kid": "2026-11"}); !reflect.DeepEqual(a.header, want) {
			t.Errorf("header %v, want %v", a.header, want)
		}
		form.Del("assertion")
		if want := (url.Values{"grant_type": {jwtBearer}, "scope": {"api id"}}); !reflect.DeepEqual(form, want) {
			t.Errorf("sent %v, want %v", form, want)
		}
	})
}

// What is not said of an assertion: its subject is the issuer, who may be the client,
// and it is for the token URL, for two minutes.
func TestAssertionOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1))
		s := asserting(up, pkcs8(edKey()))
		s.Assertion, s.ClientID = auth.Assertion{}, value("the-client")
		wantToken(t, newOAuth2(t, s), 1)
		form := forms(up)[0]
		a := parseAssertion(t, form.Get("assertion"))
		a.verify(t, edKey().Public())
		now := float64(time.Now().Unix())
		if want := (map[string]any{
			"iss": "the-client", "sub": "the-client", "aud": "https://login.test/token", "jti": "id-1", "iat": now - 60, "exp": now + 120,
		}); !reflect.DeepEqual(a.claims, want) {
			t.Errorf("claims %v, want %v", a.claims, want)
		}
		if form.Get("client_id") != "the-client" {
			t.Errorf("sent %v", form)
		}
	})
}

func TestEveryKeySignsInItsWay(t *testing.T) {
	for algorithm, key := range map[string]crypto.Signer{
		"RS256": rsaKey(), "RS384": rsaKey(), "RS512": rsaKey(), "PS256": rsaKey(), "PS384": rsaKey(), "PS512": rsaKey(),
		"ES256": ecKey(elliptic.P256()), "ES384": ecKey(elliptic.P384()), "ES512": ecKey(elliptic.P521()), "EdDSA": edKey(),
	} {
		t.Run(algorithm, func(t *testing.T) {
			up := policytest.NewUpstream(t, issued(1))
			s := asserting(up, pkcs8(key))
			s.Signing.Algorithm = algorithm
			wantToken(t, newOAuth2(t, s), 1)
			a := parseAssertion(t, forms(up)[0].Get("assertion"))
			if a.verify(t, key.Public()); a.header["alg"] != algorithm {
				t.Errorf("signed by %v", a.header["alg"])
			}
		})
	}
}

func TestClientShowsWhoItIsByItsKey(t *testing.T) {
	for _, grant := range []string{"client_credentials", "refresh_token", "authorization_code"} {
		t.Run(grant, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := policytest.NewUpstream(t, issued(1))
				s := settings(up, newShelf())
				s.Grant, s.ClientSecret, s.ClientAuth = grant, nil, "private_key_jwt"
				s.Signing = auth.Signing{PrivateKey: value(pkcs8(rsaKey())), Algorithm: "PS256", NewID: counted(),
					Certificate: value(pemText("CERTIFICATE", certificate(t, rsaKey())))}
				wantToken(t, newOAuth2(t, s), 1)
				form := forms(up)[0]
				a := parseAssertion(t, form.Get("client_assertion"))
				a.verify(t, rsaKey().Public())
				now := float64(time.Now().Unix())
				if want := (map[string]any{
					"iss": "the-client", "sub": "the-client", "aud": "https://login.test/token", "jti": "id-1", "iat": now - 60, "exp": now + 120,
				}); !reflect.DeepEqual(a.claims, want) {
					t.Errorf("claims %v, want %v", a.claims, want)
				}
				sum := sha256.Sum256(certificate(t, rsaKey()))
				if want := base64.RawURLEncoding.EncodeToString(sum[:]); a.header["x5t#S256"] != want || a.header["alg"] != "PS256" {
					t.Errorf("header %v, want the certificate %s", a.header, want)
				}
				if form.Get("client_id") != "the-client" || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" ||
					form.Has("client_secret") || up.Requests()[0].Header.Get("Authorization") != "" {
					t.Errorf("sent %v", form)
				}
			})
		})
	}
}

// The token of a pod says who the client is: it is read for each request, and sent as it
// is.
func TestAssertionThatSomebodyElseSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1), issued(2))
		pod := "pod-0001"
		s := settings(up, newShelf())
		s.Grant, s.ClientSecret, s.RefreshToken, s.ClientAuth = "client_credentials", nil, nil, "private_key_jwt"
		s.Signing.Client = func() (string, error) { return pod, nil }
		o := newOAuth2(t, s)
		wantToken(t, o, 1)
		time.Sleep(time.Hour)
		pod = "pod-0002"
		wantToken(t, o, 2)
		for i, form := range forms(up) {
			if want := "pod-000" + strconv.Itoa(i+1); form.Get("client_assertion") != want || form.Get("client_id") != "the-client" {
				t.Errorf("sent %v, want %s", form, want)
			}
		}
	})
}

// An assertion is taken once (RFC 7523 §3): one whose answer was lost is not sent
// again.
func TestEachRequestHasAnAssertionOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Err: io.EOF}, issued(1), issued(2))
		o := newOAuth2(t, asserting(up, pkcs8(edKey())))
		wantToken(t, o, 1)
		time.Sleep(time.Hour)
		wantToken(t, o, 2)
		var ids []string
		for _, form := range forms(up) {
			ids = append(ids, parseAssertion(t, form.Get("assertion")).claims["jti"].(string))
		}
		if got := strings.Join(ids, " "); got != "id-1 id-2 id-3" {
			t.Errorf("ids %s", got)
		}
	})
}

func TestIDsCannotBeGuessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1), issued(2))
		s := asserting(up, pkcs8(edKey()))
		s.Signing.NewID = nil
		o := newOAuth2(t, s)
		wantToken(t, o, 1)
		time.Sleep(time.Hour)
		wantToken(t, o, 2)
		first, second := parseAssertion(t, forms(up)[0].Get("assertion")), parseAssertion(t, forms(up)[1].Get("assertion"))
		if id, _ := first.claims["jti"].(string); len(id) < 20 || first.claims["jti"] == second.claims["jti"] {
			t.Errorf("ids %v and %v", first.claims["jti"], second.claims["jti"])
		}
	})
}

// The grants that show something else than a refresh token run on the same machine.
func TestOneRequestForAllWhateverTheGrant(t *testing.T) {
	for name, make := range grantsThatShow(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := make.answer
				up := policytest.NewUpstream(t, slow(time.Second, answer(1)), slow(time.Second, answer(2)), slow(time.Second, answer(3)))
				k := newShelf()
				s := make.settings(up)
				s.Keeper = k
				o := newOAuth2(t, s)
				everybody := func(n int, stale auth.Token) {
					var calls sync.WaitGroup
					for range 1000 {
						calls.Go(func() {
							token, err := o.Token(t.Context(), stale)
							if want := "Bearer " + nth(n); err != nil || token.Value.Reveal() != want {
								t.Errorf("got %q, %v, want %q", token.Value.Reveal(), err, want)
							}
						})
					}
					calls.Wait()
					if tries := up.Tries(); tries != n {
						t.Fatalf("%d requests, want %d", tries, n)
					}
				}
				everybody(1, auth.Token{})
				first, _ := o.Token(t.Context(), auth.Token{})
				everybody(2, first) // the upstream refused it
				time.Sleep(time.Hour)
				everybody(3, auth.Token{})
				if strings.Contains(k.text(), "refresh-") || !strings.Contains(k.text(), nth(3)) {
					t.Errorf("kept %s", k.text())
				}
				next := make.settings(policytest.NewUpstream(t))
				next.Keeper = k
				if token, err := newOAuth2(t, next).Token(t.Context(), auth.Token{}); err != nil || token.Value.Reveal() != "Bearer "+nth(3) {
					t.Errorf("after a restart: %q, %v", token.Value.Reveal(), err)
				}
			})
		})
	}
}

func nth(n int) string { return "access-000" + strconv.Itoa(n) }

// showing is a grant, and how its provider answers.
type showing struct {
	settings func(*policytest.Upstream) auth.OAuth2Settings
	answer   func(n int) policytest.Step
}

func grantsThatShow(t *testing.T) map[string]showing {
	return map[string]showing{
		"jwt_bearer":     {func(up *policytest.Upstream) auth.OAuth2Settings { return asserting(up, pkcs8(edKey())) }, issued},
		"token_exchange": {exchanging, issued},
		"github_app":     {func(up *policytest.Upstream) auth.OAuth2Settings { return installed(up, pkcs8(rsaKey())) }, installation},
		"service_account": {func(up *policytest.Upstream) auth.OAuth2Settings {
			return accounted(t, up, keyFile(t, nil))
		}, issued},
	}
}

// A key that cannot be read is not there for a while; one that is none is a mistake,
// and is looked at again when it was replaced.
func TestKeyAtARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1), issued(2))
		key, missing := canary, error(nil)
		s := asserting(up, "")
		s.Signing.PrivateKey = func() (string, error) { return key, missing }
		s.Jitter = policytest.Jitter(0.5)
		o := newOAuth2(t, s)
		wantNone(t, o, "oauth2: the private key is not a PEM private key", 30*time.Second)
		if st := o.Status(); st.State != auth.StateFailing || leaks(st.Err.Error()) {
			t.Errorf("status %+v", st)
		}
		key = pkcs8(edKey())
		time.Sleep(time.Second)
		wantToken(t, o, 1)
		time.Sleep(time.Hour)
		missing = errors.New("no such file")
		wantNone(t, o, "oauth2: reading the private key: no such file", 500*time.Millisecond)
		missing = nil
		time.Sleep(500 * time.Millisecond)
		wantToken(t, o, 2)
	})
}

func TestCertificateOfAnotherKey(t *testing.T) {
	other := pemText("CERTIFICATE", certificate(t, otherRSA()))
	for text, want := range map[string]string{
		other:                                  "is not that of the private key",
		pkcs8(edKey()):                         `is not a PEM certificate, which begins with "-----BEGIN CERTIFICATE-----"`,
		pemText("CERTIFICATE", []byte(canary)): "is damaged: its PEM block does not hold a certificate",
	} {
		if err := auth.CheckCertificate(text, pkcs8(rsaKey())); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := auth.CheckCertificate(other, canary); err == nil || leaks(err.Error()) {
		t.Errorf("beside no key: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := asserting(policytest.NewUpstream(t), pkcs8(rsaKey()))
		s.Signing.Certificate = value(other)
		wantNone(t, newOAuth2(t, s), "oauth2: the certificate is not that of the private key", 30*time.Second)
	})
}

// Who does not accept an assertion is told from one whose refresh token is dead: it may
// be accepted later, and there is nobody to log in.
func TestAssertionThatIsNotAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Status: 400, Body: `{"error":"invalid_grant"}`}, issued(1))
		o := newOAuth2(t, asserting(up, pkcs8(edKey())))
		wantNone(t, o, "login.test: invalid_grant: the token endpoint does not accept the assertion: look at issuer, subject, private_key, assertion_audience", 30*time.Second)
		if st := o.Status(); st.State != auth.StateFailing {
			t.Errorf("status %+v", st)
		}
		time.Sleep(30 * time.Second)
		wantToken(t, o, 1)
	})
}

func TestSettingsOfAssertionsThatAreWrong(t *testing.T) {
	for text, change := range map[string]func(*auth.OAuth2Settings){
		"needs a private key":                     func(s *auth.OAuth2Settings) { s.Signing.PrivateKey = nil },
		"needs an issuer, or a client id":         func(s *auth.OAuth2Settings) { s.Assertion.Issuer = nil },
		"needs a client id":                       func(s *auth.OAuth2Settings) { s.ClientSecret = value("x") },
		"claim sub: is made from its own setting": func(s *auth.OAuth2Settings) { s.Assertion.Claims = map[string]string{"sub": canary} },
		"parameter assertion: is made from":       func(s *auth.OAuth2Settings) { s.Params = map[string]string{"assertion": canary} },
		"no duration below 0":                     func(s *auth.OAuth2Settings) { s.Signing.Lifetime = -1 },
	} {
		s := asserting(policytest.NewUpstream(t), pkcs8(edKey()))
		change(&s)
		if o, err := auth.NewOAuth2(s); o != nil || err == nil || !strings.Contains(err.Error(), text) || leaks(err.Error()) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
