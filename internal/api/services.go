package api

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"parley/gen/parley/api/v1/apiv1connect"
	"parley/internal/store"
)

// One type for each service, all of them the Server.
type (
	nodeService     struct{ *Server }
	identityService struct{ *Server }
	peopleService   struct{ *Server }
	messageService  struct{ *Server }
	eventService    struct{ *Server }
	networkService  struct{ *Server }
	mailService     struct{ *Server }
	adminService    struct{ *Server }
)

var serviceNames = []string{
	apiv1connect.NodeServiceName, apiv1connect.IdentityServiceName, apiv1connect.PeopleServiceName,
	apiv1connect.MessageServiceName, apiv1connect.EventServiceName, apiv1connect.NetworkServiceName,
	apiv1connect.MailServiceName, apiv1connect.AdminServiceName,
}

// services answers calls that were admitted.
func (s *Server) services() http.Handler {
	opts := connect.WithHandlerOptions(s.options()...)
	mux := http.NewServeMux()
	mux.Handle(apiv1connect.NewNodeServiceHandler(nodeService{s}, opts))
	mux.Handle(apiv1connect.NewIdentityServiceHandler(identityService{s}, opts))
	mux.Handle(apiv1connect.NewPeopleServiceHandler(peopleService{s}, opts))
	mux.Handle(apiv1connect.NewMessageServiceHandler(messageService{s}, opts))
	mux.Handle(apiv1connect.NewEventServiceHandler(eventService{s}, opts))
	mux.Handle(apiv1connect.NewNetworkServiceHandler(networkService{s}, opts))
	mux.Handle(apiv1connect.NewMailServiceHandler(mailService{s}, opts))
	mux.Handle(apiv1connect.NewAdminServiceHandler(adminService{s}, opts))
	return mux
}

// localServices are health and reflection, which only the socket has.
func (s *Server) localServices() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(grpchealth.NewHandler(grpchealth.NewStaticChecker(serviceNames...)))
	mux.Handle(grpcreflect.NewHandlerV1(grpcreflect.NewStaticReflector(serviceNames...)))
	return mux
}

// read runs fn on one snapshot of the store.
func (s *Server) read(ctx context.Context, fn func(v *view) error) error {
	return s.cfg.DB.Read(ctx, func(tx *store.Tx) error { return fn(s.view(tx)) })
}
