// The clients of the node's API, all over one transport on our own origin.
import { createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { EventService } from '../gen/parley/api/v1/event_pb';
import { IdentityService } from '../gen/parley/api/v1/identity_pb';
import { MailService } from '../gen/parley/api/v1/mail_pb';
import { MessageService } from '../gen/parley/api/v1/message_pb';
import { NetworkService } from '../gen/parley/api/v1/network_pb';
import { NodeService } from '../gen/parley/api/v1/node_pb';
import { PeopleService } from '../gen/parley/api/v1/people_pb';
import { csrf } from './session';

const withSecret: Interceptor = (next) => (req) => {
  req.header.set('X-Parley-CSRF', csrf());
  return next(req);
};

const transport = createConnectTransport({
  baseUrl: location.origin,
  interceptors: [withSecret],
  fetch: (input, init) => fetch(input, { ...init, credentials: 'same-origin', redirect: 'error' }),
});

export const api = {
  events: createClient(EventService, transport),
  identity: createClient(IdentityService, transport),
  mail: createClient(MailService, transport),
  messages: createClient(MessageService, transport),
  network: createClient(NetworkService, transport),
  node: createClient(NodeService, transport),
  people: createClient(PeopleService, transport),
};
