// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/app/localapi"
	backendgateway "github.com/fairlead-dev/fairlead/backend/gateway"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

func (p *program) gatewayCommand() *cobra.Command {
	c := p.family(&cobra.Command{
		Use:     "gateway",
		GroupID: groupSetup,
		Short:   "Install, upgrade, remove or look at the gateway of a cluster",
		Long: `The gateway is the part of Fairlead in the cluster: one small pod without privilege. It is installed once per
cluster, by someone who may create cluster roles and custom resource definitions. 'helm list' shows it as any release.

These commands are always about the kubeconfig's current context or --context, whatever is connected.`,
		Example: `  fairlead gateway install
  fairlead gateway status --context staging`,
	})
	c.AddCommand(
		p.gatewayChangeCommand(&cobra.Command{
			Use:   "install",
			Short: "Install the gateway, and wait until it is ready",
			Long: `Install the gateway into the cluster, and wait until it is ready. Values are those of the chart; see
charts/fairlead/README.md. Later sources win: files in their order, then --set, then --image and --service-type.`,
			Example: `  fairlead gateway install
  fairlead gateway install --service-type LoadBalancer
  fairlead gateway install --set access.subjects[0].kind=Group --set access.subjects[0].name=developers
  fairlead gateway install --values gateway.yaml --image registry.example.com/fairlead-agent:0.1.0`,
		}, "Installing the gateway", (*localapi.Client).GatewayInstall),
		p.gatewayChangeCommand(&cobra.Command{
			Use:   "upgrade",
			Short: "Bring the gateway to this version, or change its values",
			Long: `Bring the gateway to the version of this program, or change its values; values that are not given stay as they are.
People who are connected stay connected: their tunnels move to the new pod within seconds.`,
			Example: `  fairlead gateway upgrade
  fairlead gateway upgrade --set replicas=2`,
		}, "Upgrading the gateway", (*localapi.Client).GatewayUpgrade),
		p.gatewayUninstallCommand(), p.gatewayStatusCommand(),
	)
	return c
}

type gatewayCall = func(*localapi.Client, context.Context, localapi.GatewayRequest, func(string)) (localapi.Gateway, error)

// gatewayChangeCommand completes a command that installs or upgrades.
func (p *program) gatewayChangeCommand(c *cobra.Command, step string, call gatewayCall) *cobra.Command {
	var target targetFlags
	var values valueFlags
	var r localapi.GatewayRequest
	c.Args = noArguments
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if r.Target, err = target.target(); err != nil {
			return err
		}
		if r.Values, err = values.merged(p.stdin); err != nil {
			return err
		}
		gateway, err := p.changeGateway(c.Context(), step, call, r)
		if err != nil {
			return err
		}
		return p.answer(gateway, func(w io.Writer) { writeGateway(w, gateway) })
	}
	target.add(p, c, "")
	flags := c.Flags()
	flags.StringArrayVarP(&values.files, "values", "f", nil, "file of chart values, or - for standard input; repeat it for several")
	flags.StringArrayVar(&values.sets, "set", nil, "chart value, as in replicas=2; repeat it for several")
	flags.StringVar(&r.Image, "image", "", "image of the gateway, as in registry.example.com/fairlead-agent:0.1.0")
	flags.Var((*serviceTypeFlag)(&r.ServiceType), "service-type", "how UDP reaches the gateway: NodePort, LoadBalancer, HostPort or None (default: the chart's)")
	complete(c, "service-type", fixed(serviceTypes...))
	return c
}

func (p *program) gatewayUninstallCommand() *cobra.Command {
	var target targetFlags
	var r localapi.GatewayRequest
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove the gateway and all that came with it",
		Long: `Remove the gateway from the cluster: the release, its custom resource definitions, roles and secrets, and the
namespace if the install made it. While people are connected it refuses and names them; --force removes it anyway.`,
		Example: `  fairlead gateway uninstall
  fairlead gateway uninstall --force`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if r.Target, err = target.target(); err != nil {
				return err
			}
			gateway, err := p.changeGateway(c.Context(), "Removing the gateway", (*localapi.Client).GatewayUninstall, r)
			if err != nil {
				return err
			}
			return p.answer(gateway, func(w io.Writer) {
				fmt.Fprintf(w, "The gateway is removed%s.\n", fromContext(gateway))
				for _, note := range gateway.Notes {
					fmt.Fprintf(w, "\nNote: %s\n", sentence(note))
				}
			})
		},
	}
	target.add(p, c, "")
	c.Flags().BoolVar(&r.Force, "force", false, "remove it although people are connected")
	return c
}

// changeGateway makes a long call and shows how it goes on.
func (p *program) changeGateway(ctx context.Context, step string, call gatewayCall, r localapi.GatewayRequest) (localapi.Gateway, error) {
	progress := p.begin(step)
	defer progress.end()
	client, err := p.client(ctx)
	if err != nil {
		return localapi.Gateway{}, err
	}
	return call(client, ctx, r, progress.say)
}

func (p *program) gatewayStatusCommand() *cobra.Command {
	var target targetFlags
	c := &cobra.Command{
		Use:   "status",
		Short: "Say how the gateway is, and who is connected to it",
		Example: `  fairlead gateway status
  fairlead gateway status --output json | jq .ready`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := target.target()
			if err != nil {
				return err
			}
			progress := p.begin("Looking at the gateway")
			defer progress.end()
			client, err := p.client(c.Context())
			if err != nil {
				return err
			}
			gateway, err := client.GatewayStatus(c.Context(), t)
			if err != nil {
				return err
			}
			progress.end()
			return p.answer(gateway, func(w io.Writer) { writeGateway(w, gateway) })
		},
	}
	target.add(p, c, "")
	return c
}

// serviceTypes are the ways for datagrams to reach the gateway, as the chart names them.
var serviceTypes = []string{"NodePort", "LoadBalancer", "HostPort", "None"}

// serviceTypeFlag is --service-type.
type serviceTypeFlag string

func (f *serviceTypeFlag) String() string { return string(*f) }
func (f *serviceTypeFlag) Type() string   { return "type" }

func (f *serviceTypeFlag) Set(text string) error {
	if !slices.Contains(serviceTypes, text) {
		return noSuchValue("service-type", text, serviceTypes)
	}
	*f = serviceTypeFlag(text)
	return nil
}

// valueFlags are the sources of chart values.
type valueFlags struct{ files, sets []string }

// merged returns all values as a JSON object; nil if there are none.
func (f valueFlags) merged(stdin io.Reader) (json.RawMessage, error) {
	if len(f.files) == 0 && len(f.sets) == 0 {
		return nil, nil
	}
	all := map[string]any{}
	for _, file := range f.files {
		values, err := readValues(file, stdin)
		if err != nil {
			return nil, problem.Wrap(err, problem.Usage, "Check the file named by --values.", "read chart values")
		}
		overlay(all, values)
	}
	for _, set := range f.sets {
		if err := strvals.ParseInto(set, all); err != nil {
			return nil, problem.Wrap(err, problem.Usage, "Write it as --set name=value, with dots for parts of a name.", "--set %s makes no sense", set)
		}
	}
	return json.Marshal(all)
}

func readValues(file string, stdin io.Reader) (map[string]any, error) {
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, err
	}
	var values map[string]any
	if err := yaml.Unmarshal(data, &values); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return values, nil
}

// overlay puts values over below, deep in maps.
func overlay(below, values map[string]any) {
	for name, value := range values {
		inner, isMap := value.(map[string]any)
		under, hasMap := below[name].(map[string]any)
		if isMap && hasMap {
			overlay(under, inner)
			continue
		}
		below[name] = value
	}
}

func fromContext(g localapi.Gateway) string {
	if g.Context == "" {
		return ""
	}
	return " from " + g.Context
}

func writeGateway(w io.Writer, g localapi.Gateway) {
	in := "namespace " + g.Namespace
	if g.Context != "" {
		in += " of " + g.Context
	}
	switch {
	case !g.Installed:
		install := "fairlead gateway install"
		if g.Namespace != backendgateway.DefaultNamespace {
			install += " --gateway-namespace " + g.Namespace
		}
		fmt.Fprintf(w, "The gateway is not installed in %s. Install it with: %s\n", in, install)
		return
	case g.Ready:
		fmt.Fprintf(w, "The gateway is ready in %s.\n", in)
	default:
		fmt.Fprintf(w, "The gateway is installed in %s, but not ready.\n", in)
	}
	var pods []string
	for _, pod := range g.Pods {
		text := pod.Name
		if pod.Node != "" {
			text += " on " + pod.Node
		}
		switch {
		case pod.Active && pod.Ready:
			text += ", serving"
		case pod.Ready:
			text += ", standing by"
		default:
			text += ", NOT READY"
			if pod.State != "" {
				text += ": " + pod.State
			}
		}
		pods = append(pods, text)
	}
	service := g.ServiceType
	switch {
	case service == "None":
		service = "none: all connections use the relay"
	case g.UDPPort != 0:
		service += ", port " + strconv.Itoa(g.UDPPort)
	}
	writeFields(w, []field{
		{"Version", g.Version}, {"Image", g.Image}, {"UDP", service}, {"Endpoints", strings.Join(g.Endpoints, "  ")},
		{"Pods", strings.Join(pods, "\n")}, {"Connected", connectedUsers(g.Connected)},
	})
	for _, note := range g.Notes {
		fmt.Fprintf(w, "\nNote: %s\n", sentence(note))
	}
}

func connectedUsers(users []localapi.GatewayUser) string {
	if len(users) == 0 {
		return "nobody"
	}
	var lines []string
	for _, u := range users {
		line := u.User
		if u.Host != "" {
			line += " on " + u.Host
		}
		if u.Namespace != "" {
			line += ", namespace " + u.Namespace
		}
		if u.Carrier != "" {
			line += ", over " + carrierName(u.Carrier)
		}
		if u.Phase != "" {
			line += ", " + strings.ToLower(u.Phase)
		}
		if u.Since != nil {
			line += ", since " + u.Since.Local().Format("2006-01-02 15:04")
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
