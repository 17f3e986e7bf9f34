package auth

import (
	"net"
	"regexp"
	"slices"
	"strings"
)

// A Scope is what a signature of SigV4 is good for.
type Scope struct {
	Region  string // "eu-west-1"
	Service string // as signatures name it, which is not always as hosts do: "ses" for email.eu-west-1.amazonaws.com
}

// ScopeOf reads the scope from the name of an AWS endpoint, with or without a port. A
// part that the name does not tell is "": that of a host of somebody else, or the
// region of one that stands for all regions.
//
//	[…].SERVICE[.dualstack].REGION.amazonaws.com
//	[…].REGION.SERVICE.amazonaws.com               a few, see regionFirst
//	[…].SERVICE.amazonaws.com                      us-east-1, see global
//	[BUCKET.]s3-REGION.amazonaws.com
func ScopeOf(host string) Scope {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	labels := awsLabels(strings.ToLower(host))
	switch n := len(labels); {
	case n == 0:
		return Scope{}
	case n >= 2 && regionName.MatchString(labels[n-1]):
		return Scope{Region: labels[n-1], Service: signingName(labels[:n-1])}
	case n >= 2 && labels[n-1] == "us-gov":
		return Scope{Region: "us-gov-west-1", Service: signingName(labels[:n-1])}
	case n >= 2 && slices.Contains(regionFirst, labels[n-1]) && regionName.MatchString(labels[n-2]):
		return Scope{Region: labels[n-2], Service: signingName(labels[n-1:])}
	}
	last := labels[len(labels)-1]
	if region, ok := strings.CutPrefix(last, "s3-"); ok && regionName.MatchString(region) {
		return Scope{Region: region, Service: "s3"}
	}
	scope := Scope{Service: signingName(labels)}
	if strings.HasSuffix(strings.ToLower(host), ".com") && slices.Contains(global, last) {
		scope.Region = "us-east-1"
	}
	return scope
}

// awsDomains are what the names of endpoints end with.
var awsDomains = []string{
	".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu",
	".api.aws", ".api.amazonwebservices.com.cn", ".on.aws",
}

// awsLabels are the parts of a name before the domain, without those that say how it
// is reached; none for a host of somebody else.
func awsLabels(host string) []string {
	if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return nil
	}
	for _, domain := range awsDomains {
		if rest, ok := strings.CutSuffix(host, domain); ok {
			return slices.DeleteFunc(strings.Split(rest, "."), func(label string) bool {
				return label == "vpce" || label == "dualstack" || label == "fips"
			})
		}
	}
	return nil
}

var regionName = regexp.MustCompile(`^(af|ap|ca|cn|eu|eusc|il|me|mx|sa|us)(-[a-z]+){1,2}-[0-9]{1,2}$`)

// regionFirst are the services whose hosts have the region before the service.
var regionFirst = []string{"aoss", "cloudsearch", "es", "queue"}

// global are the services whose hosts may go without a region, and then mean
// us-east-1.
var global = []string{
	"autoscaling", "budgets", "ce", "cloudformation", "cloudfront", "ec2", "elasticloadbalancing", "elasticmapreduce",
	"globalaccelerator", "iam", "importexport", "monitoring", "organizations", "queue", "rds", "route53", "route53domains",
	"s3", "s3-external-1", "savingsplans", "sdb", "sns", "sqs", "sts", "support", "waf",
}

// signingNames maps the services whose signatures name them otherwise than their
// hosts: label → name.
var signingNames = map[string]string{
	"appconfigdata":                   "appconfig",
	"appsync-api":                     "appsync",
	"appsync-realtime-api":            "appsync",
	"aps-workspaces":                  "aps",
	"bedrock-agent":                   "bedrock",
	"bedrock-agent-runtime":           "bedrock",
	"bedrock-data-automation":         "bedrock",
	"bedrock-data-automation-runtime": "bedrock",
	"bedrock-runtime":                 "bedrock",
	"control-kinesis":                 "kinesis",
	"data-kinesis":                    "kinesis",
	"data-servicediscovery":           "servicediscovery",
	"ddb":                             "dynamodb",
	"email":                           "ses",
	"lambda-url":                      "lambda",
	"marketplace":                     "aws-marketplace",
	"models-v2-lex":                   "lex",
	"pinpoint":                        "mobiletargeting",
	"queue":                           "sqs",
	"runtime-v2-lex":                  "lex",
	"s3-accelerate":                   "s3",
	"s3-accesspoint":                  "s3",
	"s3-control":                      "s3",
	"s3-external-1":                   "s3",
	"sync-states":                     "states",
	"transcribestreaming":             "transcribe",
}

// signingName is how signatures name the service that labels end with.
func signingName(labels []string) string {
	label := strings.TrimSuffix(labels[len(labels)-1], "-fips")
	switch {
	case label == "iot" && len(labels) > 1: // the messages of devices
		return "iotdata"
	case strings.HasPrefix(label, "s3express-"): // of one zone
		return "s3express"
	case signingNames[label] != "":
		return signingNames[label]
	}
	return label
}

// storage reports whether the service is S3 or one of its kin: their paths are signed
// as they are sent, and a body need not be.
func (s Scope) storage() bool {
	return slices.Contains([]string{"s3", "s3express", "s3-object-lambda", "s3-outposts"}, s.Service)
}

// showsDigest reports whether the service wants the digest of the body in a field of
// its own, besides having it in the signature.
func (s Scope) showsDigest() bool {
	return s.storage() || s.Service == "aoss" || s.Service == "glacier"
}
