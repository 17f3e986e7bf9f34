// Package alert tells people what they have to do something about, once when it
// begins and once when it is over. Package alarm finds out what that is.
//
//	Raise, Meet, Resolve → Book ─ changed ─→ the log
//	                                   └───→ Curfew → Notifier ─ a queue for each target ─→ POST, mail
//	                       Book ─ Active ──→ status and page
//
// A [Book] knows what is wrong now. A [Rule] may have patience: what is over before
// that is told to nobody. What is raised again while it lasts is counted, and is no
// news; so is what comes back before it was over for long enough (Settle). A [Curfew]
// holds back what rules with quiet hours tell, until those end.
//
// A [Notifier] sends what begins and ends to notification URLs, those that came
// together in one message. A target that does not answer is tried again for an hour, and
// holds up nobody: not a call, and not another target. It gets at most 30 messages an
// hour; what would be more waits, and is only counted if it is over by then. Another
// configuration takes neither what waits nor that bound from a target that it has, too.
//
// # Messages
//
// The kind of a target is told by its host, or by what stands before its scheme:
//
//	https://hooks.slack.com/…, slack+https://…     Slack, and what takes its messages (Mattermost)
//	https://discord.com/api/webhooks/…             Discord
//	https://….logic.azure.com/…, teams+https://…   Teams, by a workflow
//	pagerduty:ROUTING-KEY                          PagerDuty, Events API v2
//	smtp://USER:PASSWORD@HOST:587/?to=…&from=…     mail, by STARTTLS, which only a server of this machine may lack
//	smtps://USER:PASSWORD@HOST:465/?to=…&from=…    mail, by TLS from the first byte on
//	any other https://…                            our own JSON, see below
//
// Every message says who sends it, the Source of [Settings]: replicas meet the same trouble
// each for itself, and have an incident each at PagerDuty.
//
// Our own JSON is an object with "source", a list "alerts", whose members are those of
// [Alert], and with "untold", if alerts were only counted. With a secret it is signed as Standard
// Webhooks says (https://www.standardwebhooks.com), in the headers webhook-id,
// webhook-timestamp and webhook-signature.
//
// A notification URL is a secret, for most of them need no other: errors and logs
// show its host alone.
package alert
