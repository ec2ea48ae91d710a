import { mount } from 'svelte';
import './styles/base.css';
import App from './ui/App.svelte';
import { boot } from './lib/boot';

const target = document.getElementById('app');
if (target) mount(App, { target });
void boot();
