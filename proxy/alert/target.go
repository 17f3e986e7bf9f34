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
	host string // for people
	key  string // PagerDuty's routing key
}

const pagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// CheckURL says what is wrong with a notification URL, without showing it.
func CheckURL(text string) error {
	_, err := parseTarget(text)
	return err
}

var errTarget = errors.New(`must be an https:// URL, one with slack+, discord+ or teams+ before it, or "pagerduty:ROUTING-KEY"`)

func parseTarget(text string) (target, error) {
	if routing, ok := strings.CutPrefix(text, "pagerduty:"); ok {
		if routing == "" || strings.ContainsAny(routing, "/ ") {
			return target{}, errors.New("pagerduty: must be followed by the routing key of the integration")
		}
		return target{pagerDuty, pagerDutyURL, "events.pagerduty.com", routing}, nil
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
