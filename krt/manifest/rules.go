package manifest

// rule is the text of a complaint, a format of package fmt. All of them are listed here, and each has a case in
// testdata/rules.
type rule string

// The file.
const (
	ruleTooLarge  rule = "larger than %d bytes; a manifest names files, it does not hold them"
	ruleNotUTF8   rule = "not UTF-8"
	ruleEmpty     rule = "empty; a manifest has at least a version and workflows"
	ruleSyntax    rule = "not YAML: %s"
	ruleTab       rule = "indented with a tab; YAML takes spaces only"
	ruleDocuments rule = "a second YAML document begins here; a manifest is one"
	ruleTooMany   rule = "more than %d values, those that aliases repeat included"
	ruleMore      rule = "and %s more complaints"
	warnMore      rule = "and %s more warnings"
)

// Values.
const (
	ruleMapping      rule = "must be a mapping (key: value), but is %s"
	ruleList         rule = "must be a list, but is %s"
	ruleText         rule = "must be text, but is %s"
	ruleBool         rule = "must be true or false, but is %s"
	ruleInteger      rule = "must be a whole number, but is %s"
	ruleAtLeastOne   rule = "must be at least 1, but is %s"
	ruleAtMost       rule = "must be at most %s, but is %s"
	ruleLongText     rule = "has %s bytes; at most %s are allowed"
	ruleTooLong      rule = "has %s %s; at most %s are allowed"
	ruleControl      rule = "holds the control character %U"
	ruleTag          rule = "unknown YAML tag %s; write the value without it"
	ruleKey          rule = "a key must be text, but is %s"
	ruleDuplicateKey rule = "already given in line %d"
	ruleUnknownKey   rule = "unknown key %q%s"
	ruleOtherFormat  rule = "key %q belongs to manifests of the other format; this one is read as %s"
	ruleMissing      rule = "required, but missing: %s"
	ruleReserved     rule = "reserved for later"
	ruleNotYet       rule = "not there yet; %s"
	ruleOneOf        rule = "unknown value %q; write %s"
	ruleDuration     rule = "bad duration %q; write a number above 0 and its unit, e.g. 500ms, 30s or 5m"
	ruleQuantity     rule = "bad quantity %q; write a number and, if wanted, a unit, e.g. 500m, 2, 512Mi or 4G"
	ruleResource     rule = "unknown resource %q; it is cpu, memory, ephemeral-storage, hugepages-<size> or a device's name, e.g. nvidia.com/gpu"
	ruleRequestLimit rule = "requests %s, more than the limit %s (line %d)"
)

// Names.
const (
	ruleName          rule = "bad name %q; write lower-case letters, digits and dashes, a letter first and no dash last%s"
	ruleNameV1        rule = "bad name %q; write letters, digits, dots, dashes and underscores, a letter or digit first and last"
	ruleNameLength    rule = "name %q has %d characters; at most %d are allowed"
	ruleDuplicate     rule = "%q is already given in line %d"
	ruleSameID        rule = "%q becomes %q, as does %q in line %d; names must differ in more than capitals, dots, dashes and underscores"
	rulePlatformName  rule = "a version cannot be called %q: an object of the platform has that name"
	ruleEntrypoint    rule = "a node cannot be called %q: that name means the caller's requests"
	ruleRPCName       rule = "bad rpc name %q; write it as in the .proto: letters, digits and underscores, no digit first"
	ruleNoRPCName     rule = "no rpc name can be made of %q; name the rpc with the key entrypoint"
	ruleEnvName       rule = "bad name of an environment variable %q; write capitals, digits and underscores, no digit first%s"
	ruleEnvReserved   rule = "%q: names that begin with KRE_ and KRT_ are the platform's"
	ruleEnvTaken      rule = "%q is a configuration value too (line %d); set it in one place"
	ruleUnknownConfig rule = "%q is not among the configuration values that the manifest declares%s"
	rulePath          rule = "bad path %q; write it from the package's root with /, not leaving it"
	ruleProtoName     rule = "bad path %q; it must name a .proto file"
	ruleImage         rule = "bad image %q; write it as a container registry does, e.g. konstellation/kre-py:latest"
)

// The graph.
const (
	ruleNoWorkflow      rule = "no workflow; a version has at least one"
	ruleNoNode          rule = "no node; a workflow has at least one"
	ruleNoSubscription  rule = "no subscription; a node has at least one, to %q or to another node"
	ruleUnknownNode     rule = "unknown node %q%s"
	ruleUnknownExit     rule = "the exitpoint %q is not among the workflow's nodes%s"
	ruleSelf            rule = "%q subscribes to itself"
	ruleChannel         rule = "bad channel %q; write <node> or <node>.<channel>, a channel being named like a node, with at most %d characters"
	ruleEntryChannel    rule = "the entrypoint has no channels; write %q"
	ruleCycle           rule = "a cycle: %s"
	ruleUnreachable     rule = "a cycle that no message can reach: %s; subscribe one of these nodes to something before them"
	ruleExitUnreachable rule = "a cycle that no message can reach: %s; so the exitpoint %q cannot be reached from the entrypoint"
	ruleAllNodes        rule = "all workflows together have %s nodes; at most %s are allowed"
	ruleAllReplicas     rule = "all nodes together have %s replicas; at most %s are allowed"
	ruleTwoChains       rule = "%s and %s mean the same; write one of them"
)

// The package.
const (
	ruleNoFile     rule = "%q is not in the package%s"
	ruleNoGoSource rule = "%q is not in the project, and neither cmd/ nor src/ holds a Go program (package main) of that name%s"
	ruleNoSrc      rule = "no src, and none of %s is in the package"
	ruleProto      rule = "%s"
	ruleUnknownRPC rule = "unknown rpc %q in %s%s"
	ruleStreams    rule = "rpc %q streams; a workflow takes one request and gives one answer"
	ruleRPCTwice   rule = "rpc %q is in service %s already (line %d); its name must be unique in the file"
	ruleOwnService rule = "service %s is the platform's own; give yours another name"
)

// Warnings.
const (
	warnEntrypointList rule = "not run: the platform supplies the entrypoint"
	warnUnusedNode     rule = "no workflow uses the node %q"
	warnRPC            rule = "no workflow answers the rpc %q; callers are told that it is not implemented"
)
