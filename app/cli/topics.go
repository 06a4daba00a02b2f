// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

// outputTopic is a help page: a command that can't be run.
func outputTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "output",
		Short: "What --output json and yaml write",
		Long: `With --output json or yaml a command writes its answer, and nothing else, to standard output. Names of fields are
stable. Progress and warnings for people stay on standard error; --quiet leaves out progress.

  connect, disconnect, status   the status of the session; "state" is disconnected, connecting, connected,
                                reconnecting or disconnecting
  status --watch                one status per line (JSON) or document (YAML), now and on each change
  list                          "context", "namespace" and the list "workloads"
  intercept                     the intercept; "phase" is Active
  intercepts                    "context", "namespace" and the list "intercepts"
  leave                         the list "left"
  env                           "workload", the list "variables" and, for what could not be read, "missing"
  activity                      the lists "activity", the newest first, and "problems"
  settings                      the settings, those that are set
  doctor                        "ok" and the list "checks"
  gateway …                     the state of the gateway
  helper status                 the state of the helper
  version                       the versions of the parts

When something goes wrong the answer is one object, "error", with "code", "message", and possibly "hint" and the list
"details". The same is written as text to standard error. The exit status goes with the code: see
'fairlead help exit-status'.`,
	}
}

func exitStatusTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-status",
		Short: "What exit statuses mean",
		Long: `  0    done
  1    internal             a defect of Fairlead; for doctor: a check failed
  2    usage                wrong flags or arguments
  3    not_connected        the command needs a connection
  4    timeout              something took longer than it ever should
  5    not_found            the thing named does not exist
  6    daemon_version       the running daemon is of another version
  10   helper_missing       the helper is not installed or not running
  11   helper_denied        the helper does not serve this user, or the command needs root
  12   helper_busy          another user of this machine is connected
  13   helper_version       helper and Fairlead are of different versions
  14   helper_failed        the operating system refused a step
  20   kubeconfig           no or an unreadable kubeconfig
  21   context_not_found    the kubeconfig has no such context
  22   cluster_unreachable  the API server does not answer
  23   unauthorized         credentials missing, wrong or expired
  24   forbidden            a right is missing
  25   namespace_not_found  the cluster has no such namespace
  30   gateway_missing      the gateway is not installed in the cluster
  31   gateway_not_ready    it is installed but does not answer
  32   gateway_version      gateway and Fairlead are of different versions
  33   gateway_in_use       people are connected to it
  40   route_conflict       a cluster range overlaps a network of this machine
  41   no_carrier           no way for datagrams to the gateway works
  42   dns                  names could not be set up
  50   intercept_refused    the gateway refuses the intercept, such as because of another's
  51   intercept_pending    the intercept did not become active in time
  130  cancelled            interrupted with Ctrl-C`,
	}
}
