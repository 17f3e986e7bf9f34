package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// The ways in which a client shows who it is (RFC 6749 §2.3).
const (
	clientAuto      = "auto"            // basic, and body where that is refused
	clientBasic     = "basic"           // Authorization: Basic, of the form-encoded id and secret
	clientBody      = "body"            // client_id and client_secret in the form
	clientJSON      = "json"            // likewise, in a body that is JSON (Atlassian)
	clientJSONBasic = "json-basic"      // as basic, with a body that is JSON (Notion)
	clientKey       = "private_key_jwt" // client_assertion in the form
	clientNone      = "none"            // client_id in the form, if there is one: a public client
)

// A param is one member of a token request.
type param struct {
	name  string
	value Secret
}

// A client is who asks, and what is shown for a token, as it is configured now.
type client struct {
	id, secret  Secret
	refresh     Secret // the configured refresh token
	key         Secret // the private key
	keyID       string
	certificate Secret
	assertion   Secret // of the client, signed by somebody else

	issuer, subject          Secret // of the assertion of jwt_bearer
	subjectToken, actorToken Secret // of a token exchange
	installation             Secret // the id of a GitHub App's installation
}

// tokenRequest makes the request that exchanges a grant, or what a login brought.
func (o *OAuth2) tokenRequest(ctx context.Context, a *attempt, how string) (*http.Request, error) {
	params, err := o.asked(a)
	if err != nil {
		return nil, err
	}
	return o.request(ctx, inquiry{o.set.TokenURL, params, a.who, how})
}

// asked are the members of a token request that say what is wanted (RFC 6749 §4.4.2,
// §6), but for those of a login.
func (o *OAuth2) asked(a *attempt) ([]param, error) {
	if a.login != nil {
		return append(a.login, o.params...), nil
	}
	params := []param{{"grant_type", NewSecret(o.kind.wire)}}
	if o.kind.own != nil {
		own, err := o.kind.own(o, a)
		if err != nil {
			return nil, err
		}
		params = append(params, own...)
	}
	if len(o.set.Scopes) > 0 {
		params = append(params, param{"scope", NewSecret(strings.Join(o.set.Scopes, " "))})
	}
	if o.set.Audience != "" {
		params = append(params, param{"audience", NewSecret(o.set.Audience)})
	}
	return append(params, o.params...), nil
}

// An inquiry is a request to an endpoint that wants to know who asks.
type inquiry struct {
	endpoint string // its URL
	params   []param
	who      client
	how      string // it shows who it is
}

// request makes the request of q.
func (o *OAuth2) request(ctx context.Context, q inquiry) (*http.Request, error) {
	params, c, how := q.params, q.who, q.how
	switch how {
	case clientBody, clientJSON:
		params = append(params, param{"client_id", c.id}, param{"client_secret", c.secret})
	case clientKey:
		proof, err := o.clientAssertion(c)
		if err != nil {
			return nil, err
		}
		params = append(params, proof...)
	case clientNone:
		if c.id != (Secret{}) {
			params = append(params, param{"client_id", c.id})
		}
	}
	contentType, body := encodeForm(params)
	if how == clientJSON || how == clientJSONBasic {
		contentType, body = encodeJSON(params)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Whoever sends it may not send it again by itself: a refresh token is spent
	// once, and we count how often.
	req.GetBody = nil
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json") // GitHub answers with a form otherwise
	req.Header.Set("User-Agent", "outrider")
	if how == clientBasic || how == clientJSONBasic {
		// Encoded first: RFC 6749 §2.3.1.
		req.SetBasicAuth(url.QueryEscape(c.id.Reveal()), url.QueryEscape(c.secret.Reveal()))
	}
	return req, nil
}

func (o *OAuth2) refreshParams(a *attempt) ([]param, error) {
	return []param{{"refresh_token", a.from.Refresh}}, nil
}

func encodeForm(params []param) (contentType string, body []byte) {
	form := make(url.Values, len(params))
	for _, p := range params {
		form.Set(p.name, p.value.Reveal())
	}
	return "application/x-www-form-urlencoded", []byte(form.Encode())
}

func encodeJSON(params []param) (contentType string, body []byte) {
	members := make(map[string]string, len(params))
	for _, p := range params {
		members[p.name] = p.value.Reveal()
	}
	body, _ = json.Marshal(members) // strings always can be
	return "application/json", body
}

// post sends a request, and reads what comes back.
func (o *OAuth2) post(req *http.Request) (status int, header http.Header, body []byte, err error) {
	resp, err := o.set.Transport.RoundTrip(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxTokenResponse+1))
	if err == nil && len(body) > maxTokenResponse {
		body = nil // as good as no token: see parseTokenResponse
	}
	return resp.StatusCode, resp.Header, body, err
}
