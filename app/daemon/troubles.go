// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// What a button can do.
const (
	fixConnect        = "connect"
	fixInstallGateway = "install-gateway"
	fixUpgradeGateway = "upgrade-gateway"
	fixMapConflicts   = "map-conflicts"
	fixLeave          = "leave"
	fixOpenIntercept  = "open-intercept"
	fixDoctor         = "doctor"
	fixSettings       = "settings"
	fixCopy           = "copy"
)

// troubles says what is wrong, the worst first, each with what can be done about it. before is what was said last: what
// goes on keeps the time since when.
func troubles(f facts, before []localapi.Trouble, now time.Time) []localapi.Trouble {
	var all []localapi.Trouble
	add := func(p *problem.Problem, where string, fix *localapi.Fix) {
		t := localapi.Trouble{Problem: *p, Where: where, Since: now, Fix: fix}
		for _, b := range before {
			if b.Problem.Code == p.Code && b.Where == where && sameIntercept(b.Fix, fix) {
				t.Since = b.Since
			}
		}
		all = append(all, t)
	}
	told := f.session.Problem
	if told != nil && told.Code != problem.Cancelled && !f.isMended(told) {
		add(told, f.session.Context, fixOf(told, f.session.Context))
	}
	if helper := f.helper.Problem; f.asked && helper != nil && (told == nil || told.Code != helper.Code) && f.session.State != session.Connected {
		add(helper, "", fixOf(helper, ""))
	}
	for _, i := range f.session.Intercepts {
		if p, fix := interceptTrouble(i, f.session.State); p != nil {
			add(p, i.Namespace+"/"+i.Workload.Name, fix)
		}
	}
	if f.settingsProblem != nil {
		add(f.settingsProblem, "", &localapi.Fix{Action: fixSettings, Label: "Open settings"})
	}
	return all
}

// isMended reports whether a problem, which made the last attempt fail, has gone since.
func (f *facts) isMended(p *problem.Problem) bool {
	helpers := p.Code == problem.HelperMissing || p.Code == problem.HelperVersion || p.Code == problem.HelperDenied
	return f.session.State == session.Disconnected && (p == f.mended || helpers && f.asked && f.helper.Problem == nil)
}

func sameIntercept(a, b *localapi.Fix) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Intercept == b.Intercept
}

// fixOf is what can be done about a problem with one click; nil where its hint has to do.
func fixOf(p *problem.Problem, context string) *localapi.Fix {
	fix := func(action, label string) *localapi.Fix {
		return &localapi.Fix{Action: action, Label: label, Context: context}
	}
	switch p.Code {
	case problem.GatewayMissing:
		return fix(fixInstallGateway, "Install gateway…")
	case problem.GatewayVersion:
		if strings.HasPrefix(p.Message, "this Fairlead is too old") { // the gateway is newer: it must stay as it is
			return nil
		}
		return fix(fixUpgradeGateway, "Upgrade gateway…")
	case problem.RouteConflict:
		return fix(fixMapConflicts, "Map the range and connect")
	case problem.HelperMissing, problem.HelperVersion:
		return command(helperCommand("helper install"))
	case problem.HelperDenied:
		return command(helperCommand("helper install --user " + userName()))
	case problem.ClusterUnreachable, problem.Unauthorized, problem.Timeout, problem.HelperBusy, problem.HelperFailed, problem.NotConnected:
		return fix(fixConnect, "Try again")
	case problem.NoCarrier, problem.DNS, problem.GatewayNotReady, problem.Internal, problem.Forbidden:
		return fix(fixDoctor, "Find out why")
	case problem.Kubeconfig:
		return fix(fixSettings, "Choose kubeconfig files")
	}
	return nil
}

func command(line string) *localapi.Fix {
	return &localapi.Fix{Action: fixCopy, Label: "Copy command", Command: line}
}

// helperCommand is a command of this program for root. The program is named by its whole path: sudo looks in other folders than
// the user's shell.
func helperCommand(arguments string) string {
	program, err := os.Executable()
	if err != nil || strings.HasPrefix(program, "/usr/bin/") || !strings.Contains(program, "fairlead") {
		program = "fairlead"
	}
	if strings.ContainsFunc(program, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`'"\$&;|<>()*?[]#~!`+"`", r) }) {
		program = "'" + strings.ReplaceAll(program, "'", `'\''`) + "'"
	}
	return "sudo " + program + " " + arguments
}

// userName is the name of this user, or the number where the system knows no name.
func userName() string {
	if me, err := user.Current(); err == nil && me.Username != "" {
		return me.Username
	}
	return fmt.Sprint(os.Getuid())
}

// interceptTrouble says what is wrong with an intercept of this laptop.
func interceptTrouble(i localapi.Intercept, state session.State) (*problem.Problem, *localapi.Fix) {
	open := &localapi.Fix{Action: fixOpenIntercept, Label: "Show intercept", Intercept: i.ID}
	name := i.Namespace + "/" + i.Workload.Name
	switch {
	case i.Phase == session.InterceptRefused:
		return problem.New(problem.InterceptRefused, "Leave it, and choose other requests or another time.", "the intercept of %s is refused: %s", name, i.Message),
			&localapi.Fix{Action: fixLeave, Label: "Leave", Intercept: i.ID}
	case state != session.Connected: // that says it all
		return nil, nil
	case i.Phase == session.InterceptSuspended:
		return problem.New(problem.InterceptPending, "It goes on by itself once the gateway reaches this laptop.",
			"the intercept of %s is suspended, and the app gets the requests: %s", name, i.Message), open
	}
	for _, port := range i.Ports {
		if !port.Listening && i.Phase == session.InterceptActive {
			return problem.New(problem.NotFound, "Start your program, or choose another port.",
				"nothing listens on %s; the app in the cluster gets the requests of %s meanwhile", port.Local, name), open
		}
	}
	return nil, nil
}
