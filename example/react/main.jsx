import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import '../public/style.css'
import '../public/status.css'
import '../public/controls.css'
import '../public/outcome.css'
import '../public/bell.css'
import '../public/notification.css'
import './page.css'
import { App } from './app.jsx'

createRoot(document.getElementById('root')).render(<StrictMode><App /></StrictMode>)
