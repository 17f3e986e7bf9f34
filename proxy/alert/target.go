package alert

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// A target is a notification URL, understood.
type target struct {
	kind kind
	url  string
	host string // for people, and of mail where the server is: host:port
	key  string // PagerDuty's routing key
	mailbox
}

// A kind is a form of messages.
type kind int

const (
	generic kind = iota
	slack
	discord
	teams
	pagerDuty
	mail
)

// String is the word for a kind.
func (k kind) String() string {
	return [...]string{generic: "webhook", slack: "slack", discord: "discord", teams: "teams", pagerDuty: "pagerduty", mail: "mail"}[k]
}

// kindNames maps what may stand before a URL.
var kindNames = map[string]kind{"slack": slack, "discord": discord, "teams": teams}

const pagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// CheckURL says what is wrong with a notification URL, without showing it.
func CheckURL(text string) error {
	_, err := parseTarget(text)
	return err
}

var errTarget = errors.New(`must be an https:// URL, one with slack+, discord+ or teams+ before it, "pagerduty:ROUTING-KEY", or "smtp://USER:PASSWORD@HOST/?to=ADDRESS"`)

func parseTarget(text string) (target, error) {
	if routing, ok := strings.CutPrefix(text, "pagerduty:"); ok {
		if routing == "" || strings.ContainsAny(routing, "/ ") {
			return target{}, errors.New("pagerduty: must be followed by the routing key of the integration")
		}
		return target{kind: pagerDuty, url: pagerDutyURL, host: "events.pagerduty.com", key: routing}, nil
	}
	if strings.HasPrefix(text, "smtp://") || strings.HasPrefix(text, "smtps://") {
		return parseMail(text)
	}
	said, rest, _ := strings.Cut(text, "+")
	k, given := kindNames[said]
	if !given {
		rest = text
	}
	u, err := url.Parse(rest)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return target{}, errTarget
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return target{}, errors.New("must be https://: http:// is for this machine alone")
	}
	if !given {
		k = kindOf(u)
	}
	return target{kind: k, url: rest, host: u.Host}, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// kindOf tells the service by its host.
func kindOf(u *url.URL) kind {
	host := strings.ToLower(u.Hostname())
	switch {
	case host == "hooks.slack.com":
		return slack
	case host == "discord.com" || host == "discordapp.com":
		return discord
	case strings.HasSuffix(host, ".logic.azure.com"), strings.HasSuffix(host, ".webhook.office.com"),
		strings.HasSuffix(host, ".api.powerplatform.com"):
		return teams
	}
	return generic
}
