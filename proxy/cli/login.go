package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"outrider/policy"
	"outrider/proxy/login"

	"github.com/spf13/cobra"
)

// loginOptions are the flags of login.
type loginOptions struct {
	connection string
	probe      string
	device     bool
	noBrowser  bool
	paste      bool
	port       int
	timeout    time.Duration
}

func (c *commands) loginCommand() *cobra.Command {
	var o loginOptions
	command := &cobra.Command{
		Use:   "login UPSTREAM",
		Short: "Log in to an upstream, in the browser or with a device's code, and keep its tokens",
		Long: "login gets the first tokens of an upstream whose auth has the grant authorization_code, and puts\n" +
			"them where Outrider keeps them, whether it runs or not. Somebody has to agree at the provider: at its\n" +
			"page in a browser (authorize_url, with PKCE), which leads back to this machine, or with a code that is\n" +
			"entered anywhere (device_url). Who logs in again replaces the tokens that are kept.",
		Example: "  outrider login github\n  outrider login crm --connection acme --probe \"GET /me\"\n" +
			"  outrider login github --device         # a machine without a browser\n" +
			"  ssh server outrider login crm --paste  # and one whose page leads back elsewhere",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.login(cmd.Context(), args[0], o) },
	}
	flags := command.Flags()
	flags.StringVar(&o.connection, "connection", "", connectionHelp)
	flags.StringVar(&o.probe, "probe", "", "a harmless call that shows whether the provider takes the token, such as \"GET /me\"")
	flags.BoolVar(&o.device, "device", false, "log in with a code that is entered in a browser elsewhere")
	flags.BoolVar(&o.noBrowser, "no-browser", false, "only print the URL of the provider's page")
	flags.BoolVar(&o.paste, "paste", false, "read the URL at which the browser ended from standard input, too")
	flags.IntVar(&o.port, "port", 0, "port of loopback to which the page leads back (default: that of redirect_url, or a free one)")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait for somebody to agree")
	return command
}

const connectionHelp = "which of several connections of the upstream (default: the one that calls get which name none)"

// errNobodyAgreed ends a login that takes too long.
var errNobodyAgreed = errors.New("nobody has agreed in the time that there was (--timeout); nothing is changed")

func (c *commands) login(ctx context.Context, name string, o loginOptions) (err error) {
	s, u, err := c.upstreamFor(name)
	if err != nil {
		return err
	}
	defer s.storage.close()
	l, err := policy.NewLogin(u, o.connection, s.plainEnv())
	if err != nil {
		return usageError{err}
	}
	probe, err := probeOf(l, o.probe)
	if err != nil {
		return usageError{fmt.Errorf("--probe %w", err)}
	}
	waiting, cancel := context.WithTimeoutCause(ctx, o.timeout, errNobodyAgreed)
	defer cancel()
	pair, err := c.consent(waiting, l, o)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("the login was broken off; nothing is changed")
		}
		return fmt.Errorf("logging in to %s: %w", l.Title(), err)
	}
	return c.loggedIn(ctx, s, l, pair, probe)
}

// probeOf is the call that shows whether a token is taken; nil: there is none.
func probeOf(l *policy.Login, flag string) (*http.Request, error) {
	if flag == "" {
		flag = l.Probe
	}
	if flag == "" {
		return nil, nil
	}
	return l.ProbeRequest(flag)
}

// consent has somebody agree, and keeps what that brings.
func (c *commands) consent(ctx context.Context, l *policy.Login, o loginOptions) (policy.Pair, error) {
	cfg := l.Auth
	switch {
	case o.device && cfg.DeviceURL == "":
		return policy.Pair{}, usageError{fmt.Errorf("upstream.%s.auth.device_url: is missing: where does a device ask for its code?", l.Upstream.Name)}
	case o.device || cfg.AuthorizeURL == "":
		return c.consentOfDevice(ctx, l)
	}
	return c.consentInBrowser(ctx, l, o)
}

func (c *commands) consentInBrowser(ctx context.Context, l *policy.Login, o loginOptions) (pair policy.Pair, err error) {
	cfg := l.Auth
	id, err := l.ClientID()
	if err != nil {
		return policy.Pair{}, fmt.Errorf("reading the client id: %w", err)
	}
	a, err := login.Open(login.Settings{
		Name: l.Title(), AuthorizeURL: cfg.AuthorizeURL, TokenURL: cfg.TokenURL, ClientID: id, Scopes: cfg.Scopes,
		Params: l.AuthorizeParams(), RedirectURL: cfg.RedirectURL, Port: o.port,
	})
	if err != nil {
		return policy.Pair{}, err
	}
	defer func() { a.Close(err) }()
	c.say("To log in to %s, open this page in a browser, and agree:\n\n  %s\n", l.Title(), a.URL)
	if o.paste || !a.Listening {
		var done context.CancelCauseFunc
		ctx, done = c.pasting(ctx, a)
		defer done(nil)
	}
	if !o.noBrowser {
		if err := login.Browse(a.URL); err != nil {
			c.say("(It was not opened by itself: %v.)", err)
		}
	}
	code, err := a.Wait(ctx)
	if err != nil {
		return policy.Pair{}, err
	}
	pair, err = l.Redeem(context.WithoutCancel(ctx), policy.Code{ // the code is spent once
		Code: policy.NewSecret(code.Code), RedirectURL: code.RedirectURL, Verifier: policy.NewSecret(code.Verifier),
	})
	if err != nil {
		return policy.Pair{}, err
	}
	return pair, keepLogin(ctx, l, pair)
}

// pasting has the answer read from standard input. Where it can come by no other way, the
// context ends with the input.
func (c *commands) pasting(ctx context.Context, a *login.Authorization) (context.Context, context.CancelCauseFunc) {
	c.say("Then paste the whole address of the page at which the browser ended:")
	ctx, done := context.WithCancelCause(ctx)
	go func() { // until the input ends, which nothing else can end: mostly with the process
		if !c.readPasted(a) && !a.Listening {
			done(errNothingPasted)
		}
	}()
	return ctx, done
}

// errNothingPasted ends a login whose answer can come by hand alone.
var errNothingPasted = errors.New("the input has ended, and no line of it was the answer; nothing is changed")

// readPasted takes the lines of the input, until one is the answer.
func (c *commands) readPasted(a *login.Authorization) (answered bool) {
	if c.Stdin == nil {
		return false
	}
	for lines := bufio.NewScanner(c.Stdin); lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		err := a.Paste(lines.Text())
		if err == nil {
			return true
		}
		c.note("%v", err)
	}
	return false
}

func (c *commands) consentOfDevice(ctx context.Context, l *policy.Login) (policy.Pair, error) {
	d, err := l.Device(ctx)
	if err != nil {
		return policy.Pair{}, err
	}
	c.say("To log in to %s, open this page in any browser, and enter the code %s:\n\n  %s\n", l.Title(), d.UserCode, d.URL)
	if d.CompleteURL != "" {
		c.say("or this one, which has the code in it:\n\n  %s\n", d.CompleteURL)
	}
	pair, err := l.Await(ctx, d)
	if err != nil {
		return policy.Pair{}, err
	}
	return pair, keepLogin(ctx, l, pair)
}

// keepLogin keeps what a login brought, although its time may be over.
func keepLogin(ctx context.Context, l *policy.Login, pair policy.Pair) error {
	if err := l.Keep(context.WithoutCancel(ctx), pair); err != nil {
		return fmt.Errorf("the provider gave tokens, and they could not be kept: %w", err)
	}
	return nil
}

// say tells a person what to do: on stderr where the output is for a program.
func (c *commands) say(format string, args ...any) {
	var to io.Writer = c.Stdout
	if c.json {
		to = c.Stderr
	}
	fmt.Fprintf(to, format+"\n", args...)
}
