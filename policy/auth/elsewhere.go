package auth

import (
	"context"
	"fmt"
	"net/url"
)

// elsewhere asks another endpoint of the provider than that for tokens, which knows the
// same clients, in a way in which the client is accepted. What it says is nil where it is
// neither JSON nor a form. The error is as that of Redeem.
func (o *OAuth2) elsewhere(ctx context.Context, endpoint string, who client, params []param) (responseFields, error) {
	q := inquiry{endpoint, params, who, o.clientAuth(who)}
	fields, r := o.askElsewhere(ctx, q)
	if o.set.ClientAuth == clientAuto && q.how == clientBasic && r.refusedClient() {
		q.how = clientBody
		if fields, r = o.askElsewhere(ctx, q); !r.refusedClient() {
			o.inBody = true
		}
	}
	switch {
	case r.err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case r.err != nil:
		return nil, r.loginError()
	}
	return fields, nil
}

// askElsewhere makes one such request.
func (o *OAuth2) askElsewhere(ctx context.Context, q inquiry) (responseFields, *result) {
	ctx, cancel := context.WithTimeout(ctx, o.set.Timeout)
	defer cancel()
	failed := func(kind failure, status int, code, reason string) (responseFields, *result) {
		err := o.failed(kind, status, code, reason)
		err.Host = hostOf(q.endpoint)
		return nil, &result{tokenResponse: tokenResponse{code: code}, status: status, kind: kind, err: err}
	}
	req, err := o.request(ctx, q)
	if err != nil {
		return nil, &result{kind: misset, err: fmt.Errorf("oauth2: %w", err)}
	}
	status, header, body, err := o.post(req)
	if err != nil {
		return failed(transient, 0, "", describe(err))
	}
	fields, _ := tokenFields(header.Get("Content-Type"), body)
	switch bad, code := fields.failure(); {
	case status >= 300 && status < 400:
		return failed(misset, status, "", "it redirects, and secrets are not sent on")
	case bad || status >= 300:
		return failed(classify(true, status, code), status, code, "")
	}
	return fields, &result{status: status}
}

// hostOf names an endpoint for people.
func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "another endpoint"
	}
	return u.Host
}
