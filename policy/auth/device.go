package auth

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

// A DeviceCode is what a device has for its user (RFC 8628 §3.2). What is to be shown
// holds no control character.
type DeviceCode struct {
	UserCode    string    // what the user enters
	URL         string    // http or https: where
	CompleteURL string    // likewise, with the code in it; "": there is none
	Expires     time.Time // the code

	secret   Secret        // device_code: what the device itself shows
	interval time.Duration // between two questions
}

// Device asks for the code of a device, at the provider's endpoint for that. scope and
// audience are those of o; more are further parameters. The error is as that of Redeem.
func (o *OAuth2) Device(ctx context.Context, endpoint string, more map[string]string) (DeviceCode, error) {
	a, err := o.login()
	if err != nil {
		return DeviceCode{}, err
	}
	// Who is a confidential client shows it here, too (§3.1); the id is needed by
	// endpoints that know public clients alone.
	params := []param{{"client_id", a.who.id}, {"scope", NewSecret(strings.Join(o.set.Scopes, " "))}, {"audience", NewSecret(o.set.Audience)}}
	params = slices.DeleteFunc(params, func(p param) bool { return p.value == Secret{} })
	for _, name := range slices.Sorted(maps.Keys(more)) {
		params = append(params, param{name, NewSecret(more[name])})
	}
	fields, err := o.elsewhere(ctx, endpoint, a.who, params)
	if err != nil {
		return DeviceCode{}, err
	}
	code, problem := fields.device(wallClock())
	if problem != "" {
		return DeviceCode{}, &TokenError{Host: hostOf(endpoint), Reason: problem}
	}
	return code, nil
}

// What holds where an answer does not say: the first is that of RFC 8628 §3.2.
const (
	deviceInterval = 5 * time.Second
	deviceLifetime = 15 * time.Minute
)

// device reads the answer of a device endpoint.
func (f responseFields) device(now time.Time) (code DeviceCode, problem string) {
	code = DeviceCode{
		UserCode: f.text("user_code"), URL: f.text("verification_uri"), CompleteURL: f.text("verification_uri_complete"),
		Expires: now.Add(deviceLifetime), secret: NewSecret(f.text("device_code")), interval: deviceInterval,
	}
	if code.URL == "" {
		code.URL = f.text("verification_url") // Google
	}
	if seconds, ok := number(f["expires_in"]); ok && lifetimeOf(seconds) > 0 {
		code.Expires = now.Add(lifetimeOf(seconds))
	}
	if seconds, ok := number(f["interval"]); ok && lifetimeOf(seconds) > 0 {
		code.interval = lifetimeOf(seconds)
	}
	switch {
	case f == nil:
		return DeviceCode{}, "the answer is not JSON, nor a form"
	case code.secret == Secret{} || code.UserCode == "" || code.URL == "":
		return DeviceCode{}, "the answer lacks device_code, user_code or verification_uri"
	case !displayable(code.UserCode) || !page(code.URL) || code.CompleteURL != "" && !page(code.CompleteURL):
		return DeviceCode{}, "the answer has a user_code or a verification_uri that cannot be shown"
	}
	return code, ""
}

// displayable reports whether text of somebody else may go to a terminal.
func displayable(text string) bool {
	return len(text) <= 2048 && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) })
}

// page reports whether text is the URL of one.
func page(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && displayable(text)
}

// errDeviceExpired says that nobody entered a user code in time.
var errDeviceExpired = errors.New("oauth2: the code has expired: " + adviceExpired)

// deviceGrant is the grant_type of a device's token request.
const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// Await asks for the tokens of a device, as often as the provider wants it, until its
// user has agreed, or not (RFC 8628 §3.4, §3.5). It goes on while the endpoint is not
// well. The error is as that of Redeem.
func (o *OAuth2) Await(ctx context.Context, d DeviceCode) (Pair, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, d.Expires, errDeviceExpired)
	defer cancel()
	interval, pause := d.interval, d.interval
	for {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Pair{}, context.Cause(ctx)
		}
		a, err := o.login(param{"grant_type", NewSecret(deviceGrant)}, param{"device_code", d.secret})
		if err != nil {
			return Pair{}, err
		}
		r := o.inquire(ctx, a)
		switch {
		case r.err == nil:
			return o.pair(a, r), nil
		case ctx.Err() != nil:
			return Pair{}, context.Cause(ctx)
		case r.code == "authorization_pending":
		case r.code == "slow_down":
			interval += 5 * time.Second // for all that follow
		case r.kind == transient:
			interval = max(interval, min(2*interval, time.Minute))
		default:
			return Pair{}, r.loginError()
		}
		pause = max(interval, r.retryAfter)
	}
}
