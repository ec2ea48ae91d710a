package cli

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"parley/client"
	"parley/internal/chat"
	"parley/internal/config"
)

const apiPackage = "parley.api.v1."

func (a *app) apiCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "api", Short: "Call the node's API by hand",
		Example: `  parley api list
  parley api call NodeService/GetStatus
  parley api call parley.api.v1.MessageService/ListMessages '{"conversation":"people/12D3KooW…"}'`,
		Args: a.unknownCommand,
	}
	list := &cobra.Command{
		Use: "list", Short: "List every method",
		Example: "  parley api list",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all := methodNames(methodsOf(&client.Client{}))
			if a.json {
				return a.printJSON(map[string][]string{"methods": all})
			}
			_, err := fmt.Fprintln(a.out, strings.Join(all, "\n"))
			return err
		},
	}
	call := &cobra.Command{
		Use: "call <service/method> [json|-]", Short: "Call one method with a proto JSON request",
		Example: cmd.Example,
		Args:    between(1, 2, "a method and optionally a request"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return methodNames(methodsOf(&client.Client{})), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if !strings.HasPrefix(name, apiPackage) {
				name = apiPackage + name
			}
			body, err := a.requestBody(args[1:])
			if err != nil {
				return err
			}
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				return a.call(ctx, methodsOf(c), name, body)
			})
		},
	}
	cmd.RunE = list.RunE
	cmd.AddCommand(list, call)
	return cmd
}

func (a *app) requestBody(args []string) ([]byte, error) {
	switch {
	case len(args) == 0:
		return []byte("{}"), nil
	case args[0] != "-":
		return []byte(args[0]), nil
	}
	body, err := io.ReadAll(io.LimitReader(a.in, chat.APIBody))
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	return body, nil
}

// methodsOf finds the calls of a client by their names in the API: every
// service is a field, every method of it a call.
func methodsOf(c *client.Client) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		service, ok := strings.CutSuffix(field.Type.Name(), "Client")
		if !ok || field.Type.Kind() != reflect.Interface || !field.IsExported() {
			continue
		}
		for j := range field.Type.NumMethod() {
			var call reflect.Value
			if !v.Field(i).IsNil() {
				call = v.Field(i).Method(j)
			}
			out[apiPackage+service+"/"+field.Type.Method(j).Name] = call
		}
	}
	return out
}

func methodNames(methods map[string]reflect.Value) []string {
	out := make([]string, 0, len(methods))
	for name := range methods {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// call makes one call; a stream prints one line per message.
func (a *app) call(ctx context.Context, methods map[string]reflect.Value, name string, body []byte) error {
	method, ok := methods[name]
	if !ok {
		f := notFound("the API has no method %q", name)
		f.hint = "`parley api list` shows them all"
		if near := config.Nearest(name, methodNames(methods)); near != "" {
			f.hint = "did you mean " + near + "?"
		}
		return f
	}
	req := reflect.New(method.Type().In(1).Elem())
	if err := protojson.Unmarshal(body, req.Interface().(proto.Message)); err != nil {
		return usage("the request is not proto JSON of this method: %v", err)
	}
	res := method.Call([]reflect.Value{reflect.ValueOf(ctx), req})
	if err, _ := res[1].Interface().(error); err != nil {
		return err
	}
	if m, ok := res[0].Interface().(proto.Message); ok {
		return a.print(m)
	}
	stream, ok := res[0].Interface().(interface {
		Receive() bool
		Err() error
		Close() error
	})
	if !ok {
		return fmt.Errorf("calling %s: its answer is neither a message nor a stream", name)
	}
	defer stream.Close()
	for stream.Receive() {
		m, ok := reflect.ValueOf(stream).MethodByName("Msg").Call(nil)[0].Interface().(proto.Message)
		if !ok {
			return fmt.Errorf("calling %s: its stream carries no messages", name)
		}
		if err := a.print(m); err != nil {
			return err
		}
	}
	return ended(stream.Err())
}
